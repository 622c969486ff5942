"""A token bucket: how often something may happen at once, and how often for ever."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """Full at first; time is passed in."""

    __slots__ = ("_at", "_capacity", "_left", "_rate")

    def __init__(self, capacity: float, per_second: float) -> None:
        self._capacity, self._rate = capacity, per_second
        self._left = capacity
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Whether it may happen once more."""
        if self._left < 1:
            self._left = min(self._capacity, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                return False
        elif self._left == self._capacity:
            self._at = now
        self._left -= 1
        return True

    def give(self, count: float) -> None:
        """So many more, up to what it holds."""
        self._left = min(self._capacity, self._left + count)

    def fill(self) -> None:
        """Something happened that makes it legitimate again."""
        self._left = self._capacity
