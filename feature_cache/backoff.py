"""How long to wait before the next try: twice as long each time, less a random part so that not all come at once."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Pure: ``random`` gives numbers from 0 up to 1. Seconds."""

    __slots__ = ("_least", "_most", "_next", "_random")

    def __init__(self, least: float, most: float, random: Callable[[], float]) -> None:
        self._least = self._next = least
        self._most = most
        self._random = random

    def delay(self) -> float:
        delay = self._next * (1.0 - 0.5 * self._random())
        self._next = min(self._next * 2, self._most)
        return delay

    def reset(self) -> None:
        """The last try worked."""
        self._next = self._least
