"""
A token bucket that may be overdrawn. Pure: whoever asks brings the time.

What a request costs is often known only after it was let in, such as its rows. So a request is let in while there is
at least one token, its whole cost is taken, below zero if need be, and the next one waits until the debt is paid. Over
time exactly the rate gets through, in whatever pieces it comes.
"""

from __future__ import annotations

__all__ = ["Bucket"]

_ROUNDING = 1e-9
"""Who comes back exactly when told to must not be sent away by the last digit."""


class Bucket:
    """``rate`` tokens a second, at most ``capacity`` of them; full at first."""

    __slots__ = ("_at", "capacity", "level", "rate", "taken")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate, self.capacity = rate, max(1.0, capacity)
        self.level = self.capacity
        self.taken = 0.0
        """Since somebody asked last."""
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until something may be taken; 0 for now."""
        level = self.level + (now - self._at) * self.rate
        self.level = level = min(level, self.capacity)
        self._at = now
        return 0.0 if level >= 1.0 - _ROUNDING else (1.0 - level) / self.rate

    def take(self, cost: float) -> None:
        """Also beyond what there is."""
        self.level -= cost
        self.taken += cost

    def agree(self, level: float, now: float) -> None:
        """There is so much, as somebody else has found; less what was taken since they were told."""
        self.level, self._at = level - self.taken, now
