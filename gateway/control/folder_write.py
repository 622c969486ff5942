"""
Several files are changed as one, whoever is killed when.

What is to be done is written to the state directory first: from then on it will be done. Whoever starts next and finds
it there finishes it, so that no reader of ours ever sees half of it. Where a file cannot be written, what was written
so far is taken back. A file that somebody has edited in between is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from gateway.control.disk import Disk, beside
from gateway.control.document import Document
from gateway.control.folder_change import FileChange, text_of
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
        """Raises ``OSError``; then nothing has changed, or ``finish`` will complete it."""
        self._journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._disk.write(self._journal, msgspec.json.encode(_Unfinished(document=document, files=list(changes))))
        try:
            for change in changes:
                self._put(change.path, change.new)
            self._history.add(document)
        except OSError:
            for change in changes:
                if text_of(Path(change.path)) == change.new != change.old:
                    self._put(change.path, change.old)
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
            if text_of(Path(change.path)) == change.old:
                self._put(change.path, change.new)
        if self._history.last < unfinished.document.version:
            self._history.add(unfinished.document)
        self._disk.remove(self._journal)
        log.warning("control.write_finished", version=unfinished.document.version)

    def _put(self, name: str, text: str | None) -> None:
        path = Path(name)
        if text is None:
            self._disk.remove(path)
            return
        path.parent.mkdir(exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else _NEW_MODE
        self._disk.write(path, text.encode(), mode)
