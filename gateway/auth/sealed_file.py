"""
A file of secrets that several processes share: readable by its owner only, replaced whole, changed by one at a time.

Readers take no lock: they find the old file or the new one, never half of either. ``stamp`` says cheaply whether a file
is another than before; a replaced file has another inode even when its time and length are the same.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from gateway.core.errors import ConfigError

__all__ = ["Stamp", "locked", "stamp", "write_sealed"]

Stamp: TypeAlias = tuple[int, int, int] | None

_PATIENCE = 5.0
"""Seconds; whoever holds a lock writes one small file."""
_PAUSE = 0.01


def stamp(path: Path) -> Stamp:
    """What tells two states of a file apart; None while there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # half the time of Path.stat
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def write_sealed(path: Path, data: bytes) -> None:
    """Whole or not at all, and never readable by others in between."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other writers of ``path`` out. Blocks for a moment: call it in a thread. Raises ``ConfigError``."""
    try:
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(str(path.parent), f"expected a directory that can be written: {error.strerror}") from error
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ConfigError(str(path), "another process keeps it locked") from error
                time.sleep(_PAUSE)
        yield
    finally:
        os.close(lock)
