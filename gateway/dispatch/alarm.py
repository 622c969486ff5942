"""The one timer of a deployment that tells callers their time is over; who that is, ``Expiry`` knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.deadline import Clock
from gateway.dispatch.expiry import STEPS, Expiry
from gateway.dispatch.ticket import Ticket

__all__ = ["Alarm"]

SHORTEST = 0.001
"""uvloop's timers count whole milliseconds of a coarse clock and may come early; set again for less, one would spin."""


class Alarm:
    """Calls ``on_due`` with every ticket whose deadline has passed and which was not forgotten before."""

    __slots__ = ("_at", "_clock", "_expiry", "_on_due", "_timer")

    def __init__(self, clock: Clock, on_due: Callable[[Ticket], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._expiry: Expiry[Ticket] = Expiry()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    def __bool__(self) -> bool:
        """Whether anybody is watched."""
        return bool(self._expiry)

    def watch(self, ticket: Ticket, now: float) -> None:
        self._expiry.add(ticket)
        if self._timer is None or ticket.deadline < self._at - 1 / STEPS:
            self._set(now)

    def forget(self, ticket: Ticket) -> None:
        # The timer stays: one that finds nobody is cheaper than one that is set anew for every request.
        self._expiry.discard(ticket)

    def stop(self) -> list[Ticket]:
        """Everybody who was still watched."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._expiry.clear()

    def _set(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._expiry.next_at
        if at is not None:
            self._at = at
            self._timer = asyncio.get_running_loop().call_later(max(at - now, SHORTEST), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock()
        for ticket in self._expiry.due(now):
            self._on_due(ticket)
        self._set(now)
