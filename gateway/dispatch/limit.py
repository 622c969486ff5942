"""
How many rows a batch may have, moved towards a latency goal: one more when there is room, a tenth off when not.

Additive increase, multiplicative decrease, as in TCP: it needs no model of the model, finds the largest batch that
keeps the goal, and gives way quickly when the machine gets slower. Pure: durations are passed in.
"""

from __future__ import annotations

__all__ = ["RowLimit"]

DECREASE = 0.9


class RowLimit:
    """Stays at ``max_rows`` when there is no goal."""

    __slots__ = ("_decreased", "_exact", "_goal", "max_rows", "rows")

    def __init__(self, max_rows: int, goal: float | None = None) -> None:
        self.max_rows = max_rows
        self.rows = max_rows
        """The limit now."""
        self._goal = goal
        self._exact = float(max_rows)
        self._decreased = float("-inf")

    def observe(self, rows: int, sent: float, now: float) -> None:
        """A batch of ``rows`` left at ``sent`` and was answered ``now``."""
        if self._goal is None:
            return
        if now - sent > self._goal:
            # Batches that left before the last decrease say nothing about the limit as it is now.
            if sent < self._decreased:
                return
            self._exact = max(1.0, min(self._exact, float(rows)) * DECREASE)
            self._decreased = now
        elif rows >= self.rows:
            # Only a full batch shows that a larger one might do.
            self._exact = min(float(self.max_rows), self._exact + 1.0)
        self.rows = int(self._exact)
