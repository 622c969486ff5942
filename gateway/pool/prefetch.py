"""
When a worker that computes one batch gets the next one: when half of the time has passed that a batch usually takes.

Sent at once, the second batch would take along only the few rows that happen to have come by then, and the rest would
need a third; sent when the first is answered, it would leave the worker idle for the way there and back. In between,
rows gather while the worker has enough to do. With 64 callers of an R model that needs milliseconds for any batch, that
made batches half as large again and gave a quarter more answers a second. A model that is faster than a timer is never
made to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.usual import Usual

__all__ = ["Prefetch"]

SHARE = 0.5
"""Of the usual time: a batch that is twice as fast as usual still finds its successor there."""

SHORTEST = 0.001
"""Seconds; uvloop's timers count whole milliseconds."""

LONG = SHORTEST / SHARE
"""Seconds of a batch that is worth a timer."""

WEIGHT = 0.2
"""Of the newest batch."""


class Prefetch:
    """Calls ``on_open`` when the place opens. Used from the loop's own thread."""

    __slots__ = ("_on_open", "_timer", "_usual", "is_open", "is_slow")

    def __init__(self, on_open: Callable[[], None]) -> None:
        self._on_open = on_open
        self._usual = Usual(WEIGHT)
        self._timer: asyncio.TimerHandle | None = None
        self.is_slow = False
        """Whether a batch takes so long that it matters when it ``begins``."""
        self.is_open = True
        """Whether one more batch may be sent to the worker that computes already."""

    def computed(self, seconds: float) -> None:
        """A batch took that long, by the worker's own clock."""
        usual = self._usual
        usual.learn(seconds)
        self.is_slow = usual.value >= LONG

    def begins(self) -> None:
        """The worker begins a batch now."""
        if self.is_slow:
            self.ends()
            self.is_open = False
            self._timer = asyncio.get_running_loop().call_later(SHARE * self._usual.value, self._open)

    def ends(self) -> None:
        """The worker has nothing to compute, or is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.is_open = True

    def _open(self) -> None:
        self._timer = None
        self.is_open = True
        self._on_open()
