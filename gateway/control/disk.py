"""
Files that are replaced whole, and are still there after a crash once a call has returned.

Everything that the desired state leaves on disk goes through here, so that a test can end the world between any two
steps.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["Disk", "beside", "is_of_path", "of_disk"]

_OF_PATH = frozenset(
    {
        errno.EACCES,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENXIO,
        errno.EPERM,
    }
)


def of_disk(error: BaseException) -> OSError | None:
    """What a disk that does not do its work has said, where that is behind this error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return None if is_of_path(cause) else cause
        cause = cause.__cause__
    return None


def is_of_path(error: OSError) -> bool:
    """Whether it is the path that is wrong; else it is the disk, or this machine, and may be well in a moment."""
    return error.errno in _OF_PATH


def beside(path: Path) -> Path:
    """Where the new content of ``path`` is until it takes its place."""
    return path.with_name(f".{path.name}.lockgate-new")


class Disk:
    """Every call may raise ``OSError``; then what was there still is."""

    def write(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        """Whoever reads finds the old content or the new one."""
        new = beside(path)
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            new.replace(path)
        except OSError:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        _settle(path.parent)

    def remove(self, path: Path) -> None:
        """Also where there is none."""
        path.unlink(missing_ok=True)
        _settle(path.parent)


def _settle(folder: Path) -> None:
    """A rename is on disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
