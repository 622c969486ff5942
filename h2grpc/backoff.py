"""How long to wait before the next try at connecting."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]

FACTOR = 1.6
JITTER = 0.2
"""As gRPC's connection back-off has them."""


class Backoff:
    """Grows up to a limit with each delay asked for; jittered, so that clients of one server do not return together."""

    __slots__ = ("_first", "_most", "_next", "_random")

    def __init__(self, first: float, most: float, random: Callable[[], float]) -> None:
        self._first, self._most, self._random = first, most, random
        self._next = first

    def delay(self) -> float:
        now, self._next = self._next, min(self._most, self._next * FACTOR)
        return now * (1 - JITTER + 2 * JITTER * self._random())

    def reset(self) -> None:
        """A connection was made."""
        self._next = self._first
