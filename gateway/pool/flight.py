"""The batches that one worker has and has not answered: who waits for each, and since when it is too late."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.core.deadline import Deadline
from gateway.core.rows import Rows
from gateway.core.scoring import Outcome

__all__ = ["Flight", "Outstanding"]


class Outstanding(msgspec.Struct, eq=False):
    """One batch, from the choice of its worker to its end."""

    rows: Rows
    deadline: Deadline
    on_end: Callable[[Outcome], None]
    avoid: str = ""
    """The worker that should not get it."""
    refusals: int = 0
    overdue_at: float = 0.0
    """When the worker that has it counts as hung."""


class Flight:
    """Numbers start at 1 and are never used twice, so a reply from an earlier stream finds nobody."""

    __slots__ = ("_waiting", "batches", "next_number", "rows")

    def __init__(self) -> None:
        self._waiting: dict[int, Outstanding] = {}
        self.next_number = 1
        """The one that the next batch gets."""
        self.batches = 0
        self.rows = 0

    def add(self, batch: Outstanding) -> None:
        waiting, number = self._waiting, self.next_number
        waiting[number] = batch
        self.next_number = number + 1
        self.batches = len(waiting)
        self.rows += batch.rows.count

    def land(self, number: int) -> Outstanding | None:
        """The batch is answered; None when nobody waits for that number."""
        batch = self._waiting.pop(number, None)
        if batch is not None:
            self.batches = len(self._waiting)
            self.rows -= batch.rows.count
        return batch

    def lose(self) -> list[Outstanding]:
        """None of them will be answered any more."""
        lost = list(self._waiting.values())
        self._waiting.clear()
        self.batches = self.rows = 0
        return lost

    @property
    def overdue_at(self) -> float | None:
        """When the first of them is too late; None while there are none."""
        return min((batch.overdue_at for batch in self._waiting.values()), default=None)
