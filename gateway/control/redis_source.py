"""
The desired state in a Redis that several servers share, so that what is changed on one of them runs on all.

A change is told at once and looked for twice a second besides, so one that was not heard is half a second late. The
last document that was seen is kept in the state directory: a server that starts while Redis is away serves that, and
one that finds Redis empty, or behind what it has seen there, puts it back. A Redis that never held anything gets what
the files of the folder say; of several servers that start together one wins. From then on the endpoint files are not
looked at.

A model whose files on this machine are not those of the state is refused by whoever composes the document; the files
of the models are watched too, so that it is tried again when they have come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from gateway.control.disk import Disk
from gateway.control.document import Document, Entry, content_digest
from gateway.control.model_files import ModelFiles, Stamp, model_paths
from gateway.control.news import News
from gateway.control.redis_store import Mark, RedisStore
from gateway.control.served_folder import ServedFolder
from gateway.control.source import Conflict, ReadOnly, SourceUnavailable
from gateway.core.errors import ConfigError

__all__ = ["RedisSource"]

log = structlog.get_logger()

T = TypeVar("T")

POLL_S = 0.5
_LONGEST_S = 2.0
"""Between two tries while the store is away, which begin at ``POLL_S`` and double."""
_DISK_S = 300.0
"""Models of gigabytes may have to be read."""
_SEEDS = 3
"""Tries to fill an empty store: others do the same, and a store may be emptied again."""


class RedisSource:
    """
    See ``Source``. ``read_files`` reads the folder that an empty store is filled from, ``check`` composes a document:
    what cannot be composed here is not written.
    """

    def __init__(
        self,
        store: RedisStore,
        kept: Path,
        *,
        read_files: Callable[[], ServedFolder],
        check: Callable[[Document], object],
        models: ModelFiles,
        is_read_only: bool = False,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._store, self._kept = store, kept
        self._read_files, self._check, self._models = read_files, check, models
        self._disk, self._clock, self._pause = disk or Disk(), clock, pause
        self._is_read_only = is_read_only
        self._news = News()
        self._heard = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None
        self._mark: Mark | None = None
        self._seen_mark: Mark = (0, b"")
        """The same, or that of what was written here since."""
        self._last: Document | None = None
        self._newest_there: Document | None = None
        """What this process has seen in the store itself."""
        self._keeping = asyncio.Lock()
        self._look: dict[str, Stamp] = {}
        self._has_compared = False
        self._failures = 0

    @property
    def read_only(self) -> str:
        return (
            "control.read_only is set in lockgate.yaml: change it through another server" if self._is_read_only else ""
        )

    async def read(self) -> Document:
        try:
            found = await self._told(self._store.newest())
        except SourceUnavailable:
            return await self._without_store()
        self._mark, body = found or await self._fill()
        self._seen_mark = self._mark
        document = self._store.decoded(body)
        seen = self._newest_there
        if seen is not None and document.version < seen.version:
            document = await self._put_back(seen, document)
        elif seen is not None and _is_another(document, seen):
            document = await self._put_back(_next_of(document), document)
        self._newest_there = document
        await self._compare_with_files(document)
        self._look = await self._off_loop(lambda: self._models.stamps(model_paths(document.endpoints)))
        async with self._keeping:  # others may be reading: what is older is not to be what stays
            if document != self._last and (self._last is None or document.version >= self._last.version):
                await self._keep(document)
                self._last = document
        return self._news.of(document)

    async def settled(self) -> Document:
        return await self.read()  # what is in the store was put there whole

    async def write(self, document: Document, expected: int) -> Document:
        if self.read_only:
            raise ReadOnly(self.read_only)
        document = await self._off_loop(lambda: self._models.pinned(document))
        await self._off_loop(lambda: self._check(document))
        entry = msgspec.structs.replace(document.entry, version=expected + 1, at=self._clock())
        document = msgspec.structs.replace(document, entry=entry)
        # Not on another one of the same number either, which may be there once Redis has lost a write.
        version, token = self._seen_mark
        token = await self._told(self._store.put(document, expected, token if version == expected else b""))
        self._seen_mark = document.version, token
        if self._newest_there is None or self._newest_there.version < document.version:
            self._newest_there = document
        return self._news.of(document)

    async def changed(self) -> None:
        previous = self._look
        while not self._news.taken():
            await self._until_heard(min(POLL_S * 2**self._failures, _LONGEST_S))
            self._heard.clear()
            try:
                mark = await self._told(self._store.mark())
                self._listen()
                look = await self._off_loop(lambda: self._models.stamps(self._models_named()))
            except (SourceUnavailable, ConfigError):
                continue
            if mark is None or mark != self._mark:
                return
            if look != self._look and look == previous:
                self._look = look  # told once, whether it is read or not
                return
            previous = look

    async def history(self) -> Sequence[Entry]:
        return await self._told(self._store.entries())

    async def past(self, version: int) -> Document:
        try:
            return await self._told(self._store.past(version))
        except SourceUnavailable:
            if self._last is None or self._last.version != version:
                raise
            return self._last

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})
        await self._store.close()

    async def _fill(self) -> tuple[Mark, bytes]:
        """An empty store, with what it held last as far as we know, or with what the files say."""
        document = await self._off_loop(self._read_kept)
        if document is None:
            document = await self._off_loop(self._from_files)
        for _ in range(_SEEDS):
            try:
                await self._told(self._store.put(document, 0))
                log.warning("control.store_filled", version=document.version, by=document.entry.by)
            except Conflict:
                pass  # somebody was faster
            if found := await self._told(self._store.newest()):
                return found
        raise SourceUnavailable("the Redis of the desired state forgets what is written")

    async def _put_back(self, newer: Document, older: Document) -> Document:
        """
        The store has lost changes, by a failover or to a server that was cut off and filled it: nobody goes back.

        Where others have written since under the number of one that was lost, theirs stays and has the next number, so
        that whoever has seen the lost one does not change what they have not seen.
        """
        try:
            await self._told(self._store.put(newer, older.version))
            log.warning("control.store_filled", version=newer.version, by=newer.entry.by)
        except Conflict:
            pass  # somebody was faster
        found = await self._told(self._store.newest())
        if found is None:
            raise SourceUnavailable("the Redis of the desired state forgets what is written")
        self._mark, body = found
        self._seen_mark = self._mark
        return self._store.decoded(body)

    async def _without_store(self) -> Document:
        """What was seen last, for a server that has just started; others go on with what they have."""
        document = None if self._last is not None else await self._off_loop(self._read_kept)
        if document is None:
            raise SourceUnavailable("the Redis of the desired state does not answer")
        log.warning("control.started_from_last_seen", version=document.version, at=document.entry.at)
        self._last = document
        self._look = await self._off_loop(lambda: self._models.stamps(model_paths(document.endpoints)))
        return self._news.of(document)

    async def _compare_with_files(self, document: Document) -> None:
        """Say once that the files say something else, for whoever edits them and wonders."""
        if self._has_compared:
            return
        self._has_compared = True
        try:
            found = await self._off_loop(self._read_files)
        except ConfigError:
            return  # no endpoints in files, as is meant
        if (found.endpoints, found.views) != (document.endpoints, document.views):
            log.warning("control.files_ignored", reason="the desired state is in Redis", version=document.version)

    async def _keep(self, document: Document) -> None:
        def keep() -> None:
            self._kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._disk.write(self._kept, msgspec.json.encode(document))

        try:
            await self._off_loop(keep)
        except SourceUnavailable as error:
            log.warning("control.not_kept", version=document.version, reason=str(error))

    def _read_kept(self) -> Document | None:
        try:
            return msgspec.json.decode(self._kept.read_bytes(), type=Document)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            log.warning("control.version_damaged", file=str(self._kept))
            return None

    def _from_files(self) -> Document:
        found = self._read_files()
        return Document(
            entry=Entry(version=1, at=self._clock(), by="files", what="first read"),
            endpoints=found.endpoints,
            views=found.views,
            models=self._models.digests(found.endpoints),
        )

    def _models_named(self) -> list[str]:
        return model_paths(self._last.endpoints) if self._last is not None else []

    def _listen(self) -> None:
        """The task is ours: it ends with the connection or with ``close``, and is begun again here."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._hear(), name="control: listener")

    async def _hear(self) -> None:
        try:
            await self._store.listen(self._heard.set)
        except SourceUnavailable:
            return  # the next look finds out whether the store is away

    async def _until_heard(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._pause(seconds)), asyncio.ensure_future(self._heard.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.wait(waits)

    async def _told(self, call: Awaitable[T]) -> T:
        """That the store has gone is said once, as is its return."""
        try:
            done = await call
        except SourceUnavailable as error:
            if not self._failures:
                log.warning("control.store_lost", reason=str(error))
            self._failures = min(self._failures + 1, 10)
            raise
        if self._failures:
            self._failures = 0
            log.info("control.store_back")
        return done

    async def _off_loop(self, act: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(_DISK_S):
                return await asyncio.to_thread(act)
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "it does not answer"
            raise SourceUnavailable(f"the disk cannot be used: {reason}") from error


def _is_another(one: Document, other: Document) -> bool:
    same_number = one.version == other.version and one != other
    return same_number and content_digest(one) != content_digest(other)


def _next_of(document: Document) -> Document:
    entry = msgspec.structs.replace(document.entry, version=document.version + 1)
    return msgspec.structs.replace(document, entry=entry)
