"""The one timer of a deployment that tells callers their time is over; who that is, ``Expiry`` knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.deadline import Clock
from gateway.dispatch.expiry import NEVER, Expiry
from gateway.dispatch.ticket import Ticket

__all__ = ["Alarm"]

SHORTEST = 0.001
"""uvloop's timers count whole milliseconds of a coarse clock and may come early; set again for less, one would spin."""


class Alarm:
    """Calls ``on_due`` with every ticket whose deadline has passed and which was not forgotten before."""

    __slots__ = ("_clock", "_expiry", "_on_due", "_timer", "add", "forget", "forget_all")

    def __init__(self, clock: Clock, on_due: Callable[[Ticket], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._expiry: Expiry[Ticket] = Expiry()
        self._timer: asyncio.TimerHandle | None = None
        # Called for every request, so not through methods of this class.
        self.add = self._expiry.add
        """``(ticket)``: true where the timer comes too late for it; then ``set`` must follow."""
        self.forget = self._expiry.discard
        """``(ticket)``: one that nobody knows is no error. The timer stays: one that finds nobody is cheaper."""
        self.forget_all = self._expiry.discard_all

    def __bool__(self) -> bool:
        """Whether anybody is watched."""
        return bool(self._expiry)

    def stop(self) -> list[Ticket]:
        """Everybody who was still watched."""
        self._unset()
        return self._expiry.clear()

    def set(self, now: float) -> None:
        self._unset()
        at = self._expiry.next_at
        if at is not None:
            self._expiry.look_at(at)
            self._timer = asyncio.get_running_loop().call_later(max(at - now, SHORTEST), self._ring)

    def _unset(self) -> None:
        self._expiry.look_at(NEVER)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        now = self._clock()
        for ticket in self._expiry.due(now):
            self._on_due(ticket)
        self.set(now)
