"""
The desired state as files of a served folder.

They are watched by looking, five times a second: inode, length and time of every file of endpoints, views and models,
and where the folders of the first two really are. That works where nothing tells of changes (network mounts) and where
links are swapped (ConfigMaps, git-sync). A change counts once two looks in a row have seen the same, so a file that is
being written drops nothing. Who only asks takes up nothing, and waits a moment for who follows (``settling``).

Who reads while all files are as they were is given what was read before: the state is asked for more often than it
changes.

Files have no version: what differs from the newest in the history is the next version, by ``files``. Changes through
the API are written back into the files, all or none, with comments and order as they were.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from gateway.control.disk import Disk, of_disk
from gateway.control.document import Document, Entry, content_digest
from gateway.control.folder_change import Edited, folder_changes
from gateway.control.folder_rights import why_read_only
from gateway.control.folder_write import FolderWrite
from gateway.control.history import History, history_folder
from gateway.control.looks import Alarm, Looks
from gateway.control.model_files import ModelFiles, Stamp, is_young, model_paths, stamp
from gateway.control.news import News
from gateway.control.served_folder import ENDPOINTS_FOLDER, FEATURES_FOLDER, ServedFolder, yaml_paths
from gateway.control.settling import Settling
from gateway.control.source import Conflict, ReadOnly, SourceUnavailable
from gateway.core.errors import ConfigError

__all__ = ["FolderSource", "Look"]

log = structlog.get_logger()

T = TypeVar("T")
Look = dict[str, Stamp]
"""What tells one state of all files from another."""

LOOK_S = 0.2
_AWAY_S = 5.0
"""Between two looks while the disk does not answer."""
_READ_S = 300.0
"""Models of gigabytes may have to be read."""
_LIST_S = 30.0
_SETTLES_S = 1.0
"""Two looks, and reading what they have seen."""
_READS = 3
"""Tries to read files that change meanwhile; the next look sees what still came."""


class FolderSource:
    """
    See ``Source``. ``read`` and ``check`` are ``gateway.config``'s ``read_files`` and ``compose``: what cannot be
    composed here is not written. Only one process may have the state directory. ``alarm`` makes the pause between two
    looks; who asks while files change waits for ``patience`` seconds.
    """

    def __init__(
        self,
        root: Path,
        state_dir: Path,
        *,
        read: Callable[[Path], ServedFolder],
        check: Callable[[Document], object],
        models: ModelFiles,
        keep: int = 200,
        is_read_only: bool = False,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
        alarm: Callable[[], Alarm] = threading.Event,
        patience: float = _SETTLES_S,
    ) -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100  # with links as they are: they will be swapped
        self._read_files, self._check, self._models = read, check, models
        self._clock = clock
        self._folders = [self._root / name for name in (ENDPOINTS_FOLDER, FEATURES_FOLDER)]
        disk = disk or Disk()
        place = history_folder(self._root, state_dir)
        self._history = History(place, keep, disk)
        self._writing = FolderWrite(place / "unfinished.json", self._history, disk)
        # One thread of our own, so that a mount that hangs holds up nobody else, and another one that looks.
        self._thread = ThreadPoolExecutor(1, "control")
        self._looks = Looks(self._look_in_turn, alarm=alarm, limit=_LIST_S)
        self._turn = threading.Lock()
        """Of the two: nothing overtakes, and nobody looks in the middle of a change."""
        self._seen: Look | None = None
        self._told: tuple[Look, Document | ConfigError] | None = None
        """What came of reading or writing last, and what all files looked like then."""
        self._settling = Settling(patience)
        self._named: list[str] = []
        self._news = News()
        self._is_away = False
        self._why_read_only = partial(why_read_only, self._folders, is_set=is_read_only)
        self._read_only = self._why_read_only()

    @property
    def read_only(self) -> str:
        return self._read_only

    async def read(self) -> Document:
        try:
            return await self._off_loop(self._read_newest, _READ_S)
        finally:
            self._settling.is_over()

    async def settled(self) -> Document:
        told = await self._settling.settled(lambda: self._off_loop(self._look_at_told, _READ_S))
        if isinstance(told, ConfigError):
            raise told.with_traceback(None)  # it is raised for many, and would gather theirs
        return told

    async def write(self, document: Document, expected: int) -> Document:
        try:
            return await self._off_loop(lambda: self._write(document, expected), _READ_S)
        finally:
            self._settling.is_over()

    async def changed(self) -> None:
        while not self._news.taken():
            pause, is_away = (_AWAY_S, True) if self._is_away else (LOOK_S, False)
            with suppress(SourceUnavailable), self._answering():
                if await self._looks.until_new(pause, is_once=is_away):
                    self._news.taken()  # it is told with this
                    return

    async def history(self) -> Sequence[Entry]:
        return await self._off_loop(self._history.entries, _LIST_S)

    async def past(self, version: int) -> Document:
        return await self._off_loop(lambda: self._history.past(version), _LIST_S)

    async def close(self) -> None:
        self._looks.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _off_loop(self, act: Callable[[], T], seconds: float) -> T:
        def in_turn() -> T:
            with self._turn:
                return act()

        with self._answering():
            try:
                async with asyncio.timeout(seconds):
                    return await asyncio.get_running_loop().run_in_executor(self._thread, in_turn)
            finally:
                if self._news.is_there:  # whoever follows need not wait for the next look
                    self._looks.wake()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Tell when the files cannot be used, and when they can again. Raises ``SourceUnavailable``."""
        try:
            yield
        except (OSError, TimeoutError) as error:
            if not self._is_away:
                self._is_away = True
                log.warning("control.folder_lost", reason=getattr(error, "strerror", None) or "no answer in time")
            reason = getattr(error, "strerror", None) or "they do not answer"
            raise SourceUnavailable(f"the files of the desired state cannot be used: {reason}") from error
        if self._is_away:
            self._is_away = False
            log.info("control.folder_back")

    # From here on in the threads.

    def _look_in_turn(self) -> tuple[Look, bool]:
        with self._turn:
            found = self._look()
            return found, found != self._seen or self._news.is_there  # whoever came upon it may have left since

    def _look_at_told(self) -> tuple[Document | ConfigError, bool]:
        """
        What is known already, and whether all files still look as they did then. Where nothing is, because the disk
        failed whoever read last, it is read again, as who follows does.
        """
        if self._told is None:
            return self._read_newest(), True
        look, told = self._told
        self._writing.finish()
        self._read_only = self._why_read_only()
        return told, self._look() == look

    def _read_newest(self) -> Document:
        told, seen = self._told, self._seen
        self._told = self._seen = None  # until it is known: what fails is tried again
        self._writing.finish()
        self._read_only = self._why_read_only()
        newest = self._history.newest()
        if newest is not None and told is not None and told[1] is newest and told[0] == seen == self._look():
            self._told, self._seen = told, seen
            return newest
        return self._newest()[0]

    def _newest(self) -> tuple[Document, ServedFolder]:
        """That of the history, or the next version where the files say something else."""
        self._told = self._seen = None
        found, digests, look, is_settled = self._read_whole()
        newest = self._history.newest()
        document = Document(
            entry=Entry(version=self._history.last + 1, at=self._clock(), by="files", what=_what(newest, found)),
            endpoints=found.endpoints,
            views=found.views,
            models=digests,
        )
        if newest is not None and content_digest(newest) == content_digest(document):
            document = newest
        else:
            self._history.add(document)
        self._remember(look, document)
        self._news.of_state((look if is_settled else None, document.entry.version, document.entry.at))
        return document, found

    def _read_whole(self) -> tuple[ServedFolder, dict[str, str], Look, bool]:
        """
        What the files say, read while nobody changed them, the digests of the models, and how all of them looked; last
        whether they stopped changing, which is seen at the next look where they did not.
        """
        for _ in range(_READS):
            problem: ConfigError | None = None
            files = self._stamps()
            look = files | self._models.stamps(self._named)
            try:
                found = self._read_files(self._root)
                self._named = model_paths(found.endpoints)
                look = files | self._models.stamps(self._named)
                digests = self._models.digests(found.endpoints)
            except ConfigError as error:
                if (trouble := of_disk(error)) is not None:
                    raise trouble from error  # nothing is wrong with what is written there: it is asked again
                problem = error  # also of a file that was replaced or taken away while it was read
            if is_settled := self._look() == look:
                break
        if problem is not None:
            self._remember(look, problem)
            if is_settled:
                self._news.of_state((look, str(problem)))
            raise problem
        return found, digests, look, is_settled

    def _remember(self, look: Look, told: Document | ConfigError) -> None:
        now_ns = int(self._clock() * 1e9)
        self._told = look, told
        self._seen = None if any(is_young(each, now_ns) for each in look.values()) else look

    def _write(self, document: Document, expected: int) -> Document:
        self._read_only = self._why_read_only()
        if self._read_only:
            raise ReadOnly(self._read_only)
        self._writing.finish()
        self._expect(expected)
        document = self._models.pinned(document)
        self._check(document)
        for _ in range(_READS):
            found = self._expect(expected)  # again, because a new model may have taken seconds to read
            entry = msgspec.structs.replace(document.entry, version=self._history.last + 1, at=self._clock())
            document = msgspec.structs.replace(document, entry=entry)
            try:
                self._writing.run(document, folder_changes(self._root, found, document))
            except Edited:
                continue  # a version of its own, or nothing but a comment
            self._news.of(document)
            self._told = None  # should the disk fail now
            self._named = model_paths(document.endpoints)
            self._told = self._look(), document
            return document
        raise SourceUnavailable("the files are being edited: nothing was changed")

    def _expect(self, version: int) -> ServedFolder:
        newest, found = self._newest()
        if newest.version != version:
            raise Conflict(version, newest.version)
        return found

    def _look(self) -> Look:
        return self._stamps() | self._models.stamps(self._named)

    def _stamps(self) -> Look:
        # Paths in files are taken from where their folder really is, and files may be the same at another place.
        found: Look = {os.path.realpath(folder): None for folder in self._folders}
        for folder in self._folders:
            found.update((path, stamp(path)) for path in yaml_paths(folder))
        return found


def _what(before: Document | None, found: ServedFolder) -> str:
    """For the history: which files say something else."""
    if before is None:
        return "first read"
    pairs = ((before.endpoints, found.endpoints), (before.views, found.views))
    names = [name for old, new in pairs for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"files of {shown}" if names else "files of models"
