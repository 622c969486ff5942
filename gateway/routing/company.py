"""
Answered requests wait here for company before anything of a shadow begins.

Nobody waits for a shadow, and a message to it costs about as much for sixteen rows as for one. With one ONNX shadow of
everything, the gateway's CPU per mirrored request fell from 210-270 to 50-100 µs at 200 requests a second, and from
90-160 to 30-50 µs at 1000 (2 cores, with others at work): at 200 a second a shadow keeps the loop for one or two
percent of the time and not for five, so that nearly no caller meets it.

Now and then one goes alone and at once, as a request to a primary does: how long a shadow takes can be held against the
primary only by these, because those that go together also wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.routing.flight import Offer

__all__ = ["LINGER", "Company"]

LINGER = 0.05
"""Seconds that the first one waits."""
_ENOUGH = 16
"""Leave without waiting longer. More at a time would keep the loop for longer than a request takes."""
_SOLO = 4
"""Every so many departures one goes alone."""
_ROOM = 256
"""More than ``_ENOUGH`` are there only until the loop turns."""


class Company:
    """``leave`` is called, never in the turn of the loop in which somebody joined, and takes them with ``taken``."""

    __slots__ = ("_departure", "_departures", "_is_leaving", "_leave", "_linger", "_offers", "_rows", "enough_rows")

    def __init__(self, leave: Callable[[], None], linger: float) -> None:
        self._leave, self._linger = leave, linger
        self._offers: deque[Offer] = deque()
        self._rows = 0
        self._is_leaving = False
        self._departure: asyncio.TimerHandle | None = None
        self._departures = 0
        self.enough_rows = 1
        """For all shadows together; with so many nobody waits for more."""

    def join(self, offer: Offer) -> bool:
        """False when there is no room."""
        offers = self._offers
        if len(offers) >= _ROOM:
            return False
        offers.append(offer)
        self._rows += offer.request.rows.count * len(offer.targets)
        if self._is_leaving:
            return True
        if self._rows >= self.enough_rows or len(offers) >= _ENOUGH or self._departures % _SOLO == _SOLO - 1:
            self._is_leaving = True
            self._depart(0.0)
        elif len(offers) == 1:
            self._depart(self._linger)
        return True

    def taken(self) -> deque[Offer]:
        """Everybody; they are gone from here."""
        taken, self._offers = self._offers, deque()
        self._rows, self._is_leaving = 0, False
        self._departures += 1
        if len(taken) == 1:
            taken[0].is_alone = True
        return taken

    def disperse(self) -> None:
        """Nobody leaves any more."""
        self.taken()
        if self._departure is not None:
            self._departure.cancel()

    def _depart(self, delay: float) -> None:
        if self._departure is not None:
            self._departure.cancel()
        self._departure = asyncio.get_running_loop().call_later(delay, self._leave)
