"""
Takes a worker out after failures in a row, and lets one batch through now and then to see whether it is back.

Pure: the time is passed in. Closed → (failures) → open → (time) → half open → closed on success, open for twice as
long on failure.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Breaker", "BreakerState"]


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One probe may be under way, nothing else."""


class Breaker:
    """Counts what is the worker's own fault: lost batches and broken promises, never a model's error."""

    __slots__ = ("_failures", "_max_open", "_min_open", "_open_for", "_threshold", "is_calm", "open_until", "state")

    def __init__(self, threshold: int, open_for: float, max_open: float) -> None:
        self._threshold = threshold
        self._min_open = self._open_for = open_for
        self._max_open = max_open
        self._failures = 0
        self.state = BreakerState.CLOSED
        self.open_until = 0.0
        self.is_calm = True
        """Nothing has failed since the last success: another one makes no difference."""

    def batches(self, now: float, most: int) -> int:
        """How many batches the worker may have now, of at most ``most``."""
        if self.state is BreakerState.CLOSED:
            return most
        if self.state is BreakerState.OPEN and now >= self.open_until:
            self.state = BreakerState.HALF_OPEN
        return 1 if self.state is BreakerState.HALF_OPEN else 0

    def succeeded(self) -> None:
        self._failures = 0
        self.is_calm = self.state is not BreakerState.OPEN
        # A late answer from before does not close it: it says nothing about now.
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.CLOSED
            self._open_for = self._min_open

    def failed(self, now: float) -> bool:
        """Whether this opened it."""
        self._failures += 1
        self.is_calm = False
        if self.state is BreakerState.HALF_OPEN:
            self._open_for = min(self._open_for * 2, self._max_open)
        elif self.state is BreakerState.OPEN or self._failures < self._threshold:
            return False
        self.state = BreakerState.OPEN
        self.open_until = now + self._open_for
        return True
