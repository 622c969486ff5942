"""Whether this process has grown past its limit, looked up rarely enough to cost nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["MemoryLimit", "resident_mb"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mb(statm: Path = Path("/proc/self/statm")) -> float:
    """Resident memory of this process, pages shared with its parent included."""
    return int(statm.read_bytes().split()[1]) * _PAGE / (1 << 20)


class MemoryLimit:
    """Looks once every ``every`` seconds at most; a limit of 0 is never passed."""

    def __init__(
        self, limit_mb: int, clock: Callable[[], float], read: Callable[[], float] = resident_mb, every: float = 1.0
    ) -> None:
        self._limit_mb, self._clock, self._read, self._every = limit_mb, clock, read, every
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time for a look; from any thread."""
        return self._limit_mb != 0 and self._clock() >= self._next

    def is_passed(self) -> bool:
        """Whether a look is due and shows more than the limit."""
        if not self.is_due:
            return False
        self._next = self._clock() + self._every
        return self._read() > self._limit_mb
