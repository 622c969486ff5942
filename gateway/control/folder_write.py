"""
Several files are changed as one, whoever is killed when.

What is to be done is written to the state directory first: from then on it will be done. Whoever starts next and finds
it there finishes it, so that no reader of ours ever sees half of it. Where a file cannot be written, what was written
so far is taken back. A file that somebody has edited in between is left as it is, and what was written beside it is
taken back too: each is looked at just before it is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from gateway.control.disk import Disk, beside
from gateway.control.document import Document
from gateway.control.folder_change import Edited, FileChange, text_of
from gateway.control.history import History
from gateway.core.errors import ConfigError

__all__ = ["FolderWrite"]

log = structlog.get_logger()

_NEW_MODE = 0o644
"""Of files that were not there; the others keep theirs."""


class _Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    document: Document
    files: list[FileChange]


class FolderWrite:
    """One at a time. Blocks for the time of the disk: call it in a thread."""

    def __init__(self, journal: Path, history: History, disk: Disk) -> None:
        self._journal, self._history, self._disk = journal, history, disk

    def run(self, document: Document, changes: Sequence[FileChange]) -> None:
        """Raises ``Edited`` and ``OSError``; then nothing has changed, or ``finish`` will complete it."""
        self._journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._disk.write(self._journal, msgspec.json.encode(_Unfinished(document=document, files=list(changes))))
        tried: list[FileChange] = []
        try:
            for change in changes:
                if not _says(change, change.old):
                    raise Edited(change.path)
                tried.append(change)
                self._put(change, change.new)
            self._history.add(document)
        except (Edited, OSError):
            for change in tried:
                if change.new != change.old and _says(change, change.new):
                    self._put(change, change.old)
            self._disk.remove(self._journal)
            raise
        self._disk.remove(self._journal)

    def finish(self) -> None:
        """Complete what somebody could not. Raises ``OSError``, and ``ConfigError`` for what cannot be understood."""
        try:
            unfinished = msgspec.json.decode(self._journal.read_bytes(), type=_Unfinished)
        except FileNotFoundError:
            return
        except msgspec.MsgspecError as error:
            raise ConfigError(str(self._journal), f"expected an unfinished change: {error}") from error
        for change in unfinished.files:
            beside(Path(change.path)).unlink(missing_ok=True)
            if _says(change, change.old):
                self._put(change, change.new)
        if self._history.last < unfinished.document.version:
            self._history.add(unfinished.document)
        self._disk.remove(self._journal)
        log.warning("control.write_finished", version=unfinished.document.version)

    def _put(self, change: FileChange, text: str | None) -> None:
        path = Path(change.path)
        if text is None:
            self._disk.remove(path)
            return
        path.parent.mkdir(exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else change.mode
        self._disk.write(path, text.encode(), _NEW_MODE if mode is None else mode)


def _says(change: FileChange, text: str | None) -> bool:
    try:
        return text_of(Path(change.path)) == text
    except ConfigError:  # not even text
        return False
