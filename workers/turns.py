"""
One worker of a deployment at a time may step aside: to collect garbage, or to be replaced at its memory limit.

The turn is an flock on a file that all workers of the deployment derive from their options, so they need no parent to
ask, and the kernel gives it back when its holder dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from workers.options import GroupOptions

__all__ = ["Turn", "turn_path"]

_SHARED = Path("/dev/shm")  # noqa: S108  # opened without following links, and locked but never read
"""Every Linux has it, also with a read-only root; the folder for temporary files is one of its own for each worker."""


def turn_path(group: GroupOptions) -> Path:
    """The lock file of this group: beside its sockets, or in shared memory when it listens on TCP."""
    names = "\n".join(worker.name for worker in group.workers)
    digest = hashlib.sha256(f"{group.model}\n{names}\n{group.workers[0].address}".encode()).hexdigest()[:16]
    address = group.workers[0].address
    if address.startswith("unix:"):
        return Path(address.removeprefix("unix:")).parent / f"turn-{digest}.lock"
    return _SHARED / f"lockgate-{os.getuid()}-turn-{digest}.lock"


class Turn:
    """The right to step aside. Not for several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self.is_mine = False

    def try_take(self) -> bool:
        """Take the turn unless another worker has it; never waits."""
        if self.is_mine:
            return True
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self.is_mine = True
        return True

    def give_back(self) -> None:
        if self._file is not None and self.is_mine:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self.is_mine = False
