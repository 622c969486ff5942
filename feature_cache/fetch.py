"""One key being read, and those who wait for keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from feature_cache.row import Row
from feature_cache.stored_view import StoredView

__all__ = ["Fetch", "Reading", "Waiter"]


class Waiter:
    """One caller, who wants several keys; woken when the last of them is there, or when the time is up."""

    __slots__ = ("_left", "done", "is_late")

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done
        self._left = 0
        self.is_late = False

    @property
    def is_done(self) -> bool:
        return self.done.done()

    @property
    def is_expecting(self) -> bool:
        return self._left > 0

    def expect(self) -> None:
        """One more key."""
        self._left += 1

    def arrived(self) -> None:
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)

    def expire(self) -> None:
        if not self.done.done():
            self.is_late = True
            self.done.set_result(None)


class Fetch:
    """Ends once, with a row; whoever asks for the same key meanwhile waits for it too."""

    __slots__ = ("asked_at", "entity", "epoch", "hops", "is_clean", "key", "place", "row", "view", "waiters")

    def __init__(self, view: StoredView, key: bytes, entity: Sequence[object], now: float) -> None:
        self.view, self.key, self.entity = view, key, entity
        self.place = key + view.slot
        """What the row is known by within the process."""
        self.asked_at = now
        self.waiters: list[Waiter] = []
        self.row: Row | None = None
        self.epoch = -1
        """Of the local copy, when it was sent."""
        self.is_clean = True
        """Whether the key has not changed since it was asked for."""
        self.hops = 0
        """How often it was sent again: after a redirect or a lost connection."""

    def end(self, row: Row) -> None:
        self.row = row
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.arrived()


class Reading:
    """What one call of ``read`` waits for: a list of rows, a place in it, and what will give the row."""

    __slots__ = ("deadline", "is_over", "now", "open", "waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop, now: float, deadline: float | None) -> None:
        self.now, self.deadline = now, deadline
        self.is_over = deadline is not None and deadline <= now
        self.waiter = Waiter(loop.create_future())
        self.open: list[tuple[list[Row], int, Fetch]] = []
