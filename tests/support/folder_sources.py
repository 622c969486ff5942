"""Sources over folders that a test may look at, break and crash."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import Settings, compose, read_files
from gateway.control.disk import Disk
from gateway.control.document import Document, Entry
from gateway.control.folder_source import FolderSource
from gateway.control.model_files import ModelFiles
from gateway.control.served_folder import ServedFolder
from tests.support.paced import Paced

__all__ = ["Crashed", "CrashingDisk", "FullDisk", "altered", "open_folder"]

LATER = 4_000_000_000.0
"""A clock by which no file is young."""


class Crashed(BaseException):
    """Nobody lives to catch this."""


class CrashingDisk(Disk):
    """The world ends at step ``at``, counted from 0; each write has two steps and a removal one."""

    def __init__(self, at: int) -> None:
        self.steps_left = at

    def write(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        if not self.steps_left:
            path.with_name(f".{path.name}.lockgate-new").write_bytes(data[: len(data) // 2])
        self._step()
        super().write(path, data, mode)
        self._step()

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def _step(self) -> None:
        if not self.steps_left:
            raise Crashed
        self.steps_left -= 1


class FullDisk(Disk):
    """Fails at write ``at``, once or from then on."""

    def __init__(self, at: int, *, is_for_good: bool = False) -> None:
        self.writes_left, self.is_for_good = at, is_for_good

    def write(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        if self.writes_left == 0:
            self.writes_left = 0 if self.is_for_good else -1
            raise OSError(28, "No space left on device")
        self.writes_left -= 1
        super().write(path, data, mode)


def open_folder(
    root: Path,
    state: Path,
    *,
    disk: Disk | None = None,
    paced: Paced | None = None,
    is_read_only: bool = False,
    keep: int = 200,
    clock: Callable[[], float] = lambda: LATER,
    check: Callable[[Document], object] | None = None,
    read: Callable[[Path], ServedFolder] = read_files,
    patience: float = 0.0,
) -> FolderSource:
    models = ModelFiles(lambda: int(LATER * 1e9))
    return FolderSource(
        root,
        state,
        read=read,
        check=check or partial(compose, root=root, settings=Settings(), models=models),
        models=models,
        keep=keep,
        is_read_only=is_read_only,
        disk=disk,
        clock=clock,
        patience=patience,
        **({"alarm": paced.alarm} if paced else {}),
    )


def altered(document: Document, change: Callable[[Any], object], by: str = "anna", what: str = "a change") -> Document:
    """``document`` as somebody wants it, after ``change`` of its plain data."""
    data = msgspec.json.decode(msgspec.json.encode(document))
    change(data)
    entry = Entry(version=document.version, at=0.0, by=by, what=what)
    return msgspec.structs.replace(msgspec.convert(data, Document), entry=entry)
