"""The batches that one worker has and has not answered: who waits for each, and until when."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.core.deadline import Deadline
from gateway.core.rows import Rows
from gateway.core.scoring import Outcome
from gateway.pool.room import Room, Rooms

__all__ = ["Flight", "Outstanding"]


class Outstanding(msgspec.Struct, eq=False):
    """One batch, from the choice of its worker to its end."""

    rows: Rows
    deadline: Deadline
    on_end: Callable[[Outcome], None]
    avoid: str = ""
    """The worker that should not get it."""
    refusals: int = 0


class Flight(Room):
    """
    Each batch takes one of the places that its worker has, and gives it back.

    Numbers start at 1 and are never used twice, so a reply from an earlier stream finds nobody.
    """

    __slots__ = ("_waiting", "next_number", "rows")

    def __init__(self, rooms: Rooms) -> None:
        super().__init__(rooms)
        self._waiting: dict[int, Outstanding] = {}
        self.next_number = 1
        """The one that the next batch gets."""
        self.rows = 0

    @property
    def batches(self) -> int:
        return len(self._waiting)

    def add(self, batch: Outstanding) -> None:
        number = self.next_number
        self._waiting[number] = batch
        self.next_number = number + 1
        self.rows += batch.rows.count
        if self.spare:
            self.spare -= 1
            rooms = self._rooms
            rooms.spare -= 1
            if self.is_next_wanted:
                rooms.places -= 1

    def land(self, number: int) -> Outstanding | None:
        """The batch is answered; None when nobody waits for that number."""
        batch = self._waiting.pop(number, None)
        if batch is not None:
            self.rows -= batch.rows.count
            spare = self._most - len(self._waiting)
            if spare > self.spare:  # by one: it had no more than it may have
                self.spare = spare
                rooms = self._rooms
                rooms.spare += 1
                if self.is_next_wanted:
                    rooms.places += 1
        return batch

    def lose(self) -> list[Outstanding]:
        """None of them will be answered any more; ``hold`` must follow."""
        lost = list(self._waiting.values())
        self._waiting.clear()
        self.rows = 0
        return lost

    @property
    def deadline(self) -> Deadline | None:
        """The first of theirs; None while there are none."""
        return min((batch.deadline for batch in self._waiting.values()), default=None)
