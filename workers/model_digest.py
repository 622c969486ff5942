"""
What tells one state of a model's files from another: a digest of their names and bytes.

It is that of what ``sha256sum`` prints about the files in the order of their names. Symbolic links are followed:
Kubernetes and git-sync swap them. Hidden files (``..data``, ``.git``) are not the model's. Whoever decides what is to
be served and whoever loads it compute it here, so that they mean the same.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

__all__ = ["FilesUnreadable", "Stamp", "is_young", "model_digest", "model_files", "read_digest", "stamp"]

Stamp: TypeAlias = tuple[int, int, int, int] | None
"""Device, inode, length and time of change in nanoseconds, also of its rights; None where there is no file."""

_TICK_NS = 20_000_000
"""Of a file system's clock: a file may change twice within one."""
_SECOND_NS = 1_000_000_000
"""What some file systems count in, such as those on top of an object store."""
_CHUNK = 1 << 18
"""Bytes in one piece: 0.2 ms of computing, behind which somebody may be waiting (``gateway.control.pace``)."""
_MOST_BYTES = 1 << 40
"""In one file: more is what a system only makes believe, such as its memory."""
_MOST_FILES = 10_000
"""In one model: more is a folder that was named by mistake, such as a home directory."""


_NO_FILE = "cannot be read: it is not a file"
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR)


class FilesUnreadable(Exception):
    """``path`` is not what a model is read from; ``problem`` says why."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


def stamp(path: Path | str) -> Stamp:
    """Of what is at the end of all symbolic links."""
    try:
        found = os.stat(path)  # noqa: PTH116  # half the time of Path.stat
    except (OSError, ValueError):  # such as a path that no system can have
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def is_young(found: Stamp, now_ns: int) -> bool:
    """Whether the file may change after ``now_ns`` and have the same stamp all the same."""
    if found is None:
        return False
    changed = found[3]
    tick = _TICK_NS if changed % _SECOND_NS else _SECOND_NS + _TICK_NS
    return 0 <= now_ns - changed < tick


def read_digest(path: str, moved: Callable[[], object] = lambda: None) -> str:
    """
    Of one file, as far as it reached when it was opened; ``moved`` is called for each piece.

    Never waits for a pipe, nor reads a device. Raises ``FilesUnreadable``.
    """
    digest = sha256()
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:  # noqa: PTH123
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FilesUnreadable(path, _NO_FILE)
            left = found.st_size
            if left > _MOST_BYTES:
                raise FilesUnreadable(path, f"expected a model, found a file of {left} bytes")
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
                moved()
    except OSError as error:
        raise FilesUnreadable(path, f"cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def model_digest(model: str, of_file: Callable[[str], str] = read_digest) -> str:
    """Of a file or folder that is there; ``of_file`` may remember. Raises ``FilesUnreadable``."""
    whole = sha256()
    for name, path in model_files(model):
        whole.update(f"{of_file(path)}  {name}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def model_files(model: str) -> list[tuple[str, str]]:
    """Name within the model and path of each file, by name. Raises ``FilesUnreadable``."""
    path = Path(model)
    if not path.is_dir():
        if path.exists() and not path.is_file():
            raise FilesUnreadable(model, _NO_FILE)
        return [(path.name, model)]
    found: list[tuple[str, str]] = []
    for each in _walk(model):
        found.append((each[len(model) :].lstrip("/"), each))  # below it, and much cheaper than os.path.relpath
        if len(found) > _MOST_FILES:
            raise FilesUnreadable(model, f"expected a model, found a folder of more than {_MOST_FILES} files")
    return sorted(found)


def _walk(folder: str) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    for where, folders, files in os.walk(folder, onerror=_refuse_half, followlinks=True):
        here = stamp(where)
        if here is None or here[:2] in seen:  # a link back to where we have been
            folders.clear()
            continue
        seen.add(here[:2])
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = f"{where}/{name}"
            if not name.startswith(".") and Path(path).is_file():
                yield path


def _refuse_half(error: OSError) -> None:
    """A folder that nobody may list is not the model's; one that a disk does not give would be missing from it."""
    if error.errno not in _NOT_OURS:
        raise FilesUnreadable(str(error.filename), f"cannot be read: {error.strerror}") from error
