"""
Leaves a server alone that does not answer, so that callers have their policy's answer at once instead of a timeout.

Closed → (failures in a row) → open → (time) → half open, while one PING is under way → closed when it is answered,
open for twice as long when not. Callers' rows are never the probe. Pure: the time is passed in.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Circuit", "CircuitState"]


class CircuitState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """A probe is under way, nothing else."""


class Circuit:
    """Of one server. Seconds."""

    __slots__ = ("_failures", "_least", "_most", "_open_for", "_threshold", "open_until", "state")

    def __init__(self, threshold: int, open_for: float, max_open: float) -> None:
        self._threshold = threshold
        self._least = self._open_for = open_for
        self._most = max_open
        self._failures = 0
        self.state = CircuitState.CLOSED
        self.open_until = 0.0

    @property
    def is_closed(self) -> bool:
        return self.state is CircuitState.CLOSED

    def answered(self) -> None:
        """A round trip came back in time. Says nothing while it is open: that is for the probe to find out."""
        self._failures = 0

    def failed(self, now: float) -> bool:
        """A round trip failed or was late; whether this opened it."""
        self._failures += 1
        if self.state is not CircuitState.CLOSED or self._failures < self._threshold:
            return False
        self._open(now)
        return True

    def try_probe(self) -> None:
        """A probe leaves now."""
        if self.state is CircuitState.OPEN:
            self.state = CircuitState.HALF_OPEN

    def probe_answered(self) -> None:
        self.state = CircuitState.CLOSED
        self._failures = 0
        self._open_for = self._least

    def probe_failed(self, now: float) -> None:
        self._open_for = min(self._open_for * 2, self._most)
        self._open(now)

    def _open(self, now: float) -> None:
        self.state = CircuitState.OPEN
        self.open_until = now + self._open_for
