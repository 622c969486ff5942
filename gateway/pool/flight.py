"""The batches that one worker has and has not answered: who waits for each, and since when it is too late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.errors import GatewayError
from gateway.core.scoring import Scored

__all__ = ["Flight", "Outstanding"]


@dataclass(slots=True)
class Outstanding:
    """One batch. Plain rather than frozen: one is made per batch."""

    rows: int
    overdue_at: float
    """When its worker counts as hung."""
    reply: asyncio.Future[Scored]


class Flight:
    """Numbers start at 1 and are never used twice, so a reply from an earlier stream finds nobody."""

    __slots__ = ("_last", "_waiting", "rows")

    def __init__(self) -> None:
        self._waiting: dict[int, Outstanding] = {}
        self._last = 0
        self.rows = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, batch: Outstanding) -> int:
        """The batch's number."""
        self._last += 1
        self._waiting[self._last] = batch
        self.rows += batch.rows
        return self._last

    def land(self, number: int) -> Outstanding | None:
        """The batch is answered; None when nobody waits for that number."""
        batch = self._waiting.pop(number, None)
        if batch is not None:
            self.rows -= batch.rows
        return batch

    def lose(self, error: Callable[[], GatewayError]) -> int:
        """Nothing will be answered any more, and each waiter gets an ``error`` of its own; how many there were."""
        lost = list(self._waiting.values())
        self._waiting.clear()
        self.rows = 0
        for batch in lost:
            if not batch.reply.done():
                batch.reply.set_exception(error())
        return len(lost)

    @property
    def overdue_at(self) -> float | None:
        """When the first of them is too late; None while there are none."""
        return min((batch.overdue_at for batch in self._waiting.values()), default=None)
