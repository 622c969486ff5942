"""
What tells one state of a model's files from another: a digest of their names and bytes.

It is that of what ``sha256sum`` prints about the files in the order of their names. Symbolic links are followed:
Kubernetes and git-sync swap them. Hidden files (``..data``, ``.git``) are not the model's. Whoever decides what is to
be served and whoever loads it compute it here, so that they mean the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

__all__ = ["FilesUnreadable", "Stamp", "model_digest", "model_files", "read_digest", "stamp"]

Stamp: TypeAlias = tuple[int, int, int, int] | None
"""Device, inode, length and time of change in nanoseconds; None where there is no file."""

_CHUNK = 1 << 20
_MOST_FILES = 10_000
"""In one model: more is a folder that was named by mistake, such as a home directory."""


class FilesUnreadable(Exception):
    """``path`` is not what a model is read from; ``problem`` says why."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


def stamp(path: Path | str) -> Stamp:
    """Of what is at the end of all symbolic links."""
    try:
        found = os.stat(path)  # noqa: PTH116  # half the time of Path.stat
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def read_digest(path: str) -> str:
    """Of one file, read whole. Raises ``FilesUnreadable``."""
    digest = sha256()
    try:
        # Without waiting: to open a pipe takes as long as nobody writes to it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FilesUnreadable(path, "cannot be read: it is not a file")
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
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
    if not Path(model).is_dir():
        return [(Path(model).name, model)]
    found: list[tuple[str, str]] = []
    for path in _walk(model):
        found.append((os.path.relpath(path, model), path))
        if len(found) > _MOST_FILES:
            raise FilesUnreadable(model, f"expected a model, found a folder of more than {_MOST_FILES} files")
    return sorted(found)


def _walk(folder: str) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
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
