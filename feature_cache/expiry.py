"""
Ends what has waited too long, with one timer for all.

Everything in the line has the same patience, so it falls due in the order in which it came; a timer each would cost
as much as the rest of a read. What is done meanwhile leaves when it is first in the line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["Expires", "Expiry"]


class Expires(Protocol):
    @property
    def is_done(self) -> bool: ...

    def expire(self) -> None: ...


class Expiry:
    """``patience`` in seconds. Belongs to the loop on which it is used."""

    __slots__ = ("_clock", "_line", "_patience", "_timer")

    def __init__(self, patience: float, clock: Callable[[], float]) -> None:
        self._patience, self._clock = patience, clock
        self._line: deque[tuple[float, Expires]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: Expires, now: float) -> None:
        line = self._line
        while line and line[0][1].is_done:
            line.popleft()
        line.append((now + self._patience, item))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._fire)

    def __len__(self) -> int:
        return len(self._line)

    def close(self) -> None:
        """Everything is due now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        line, self._line = self._line, deque()
        for _, item in line:
            if not item.is_done:
                item.expire()

    def _fire(self) -> None:
        self._timer = None
        now, line = self._clock(), self._line
        while line:
            due, item = line[0]
            if item.is_done:
                line.popleft()
            elif due <= now:
                line.popleft()
                item.expire()
            else:
                self._timer = asyncio.get_running_loop().call_later(due - now, self._fire)
                return
