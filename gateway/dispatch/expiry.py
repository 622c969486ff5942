"""
Who runs out of time when.

A timer per request would cost 2.6 µs to set and cancel on uvloop. Here one timer serves the whole deployment, and
because callers of one deployment mostly have the same patience, their deadlines come in order: who comes in turn joins
the end of a line, and leaves it from wherever he is, for one dict operation each. Only who comes out of turn is
entered in a table. Pure: the caller passes the time in and keeps that one timer, and says here when it rings; who comes
in turn is not before it either.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import repeat
from typing import Generic, TypeVar

from gateway.core.deadline import Deadline
from gateway.dispatch.steps import STEPS, Expiring, Steps

__all__ = ["NEVER", "Expiry"]

STEP = 1 / STEPS
"""Seconds by which deadlines in the line may be out of order, and a look may come late."""

NEVER = float("inf")
_ABSENT = repeat(False)

Item = TypeVar("Item", bound=Expiring)


class Expiry(Generic[Item]):
    """Never early, and late by one step at most. Items must be hashable by identity, and their deadlines stay."""

    __slots__ = ("_apart", "_latest", "_line", "_soon_enough")

    def __init__(self) -> None:
        self._line: dict[Item, bool] = {}
        """In order of their coming: nobody's deadline is more than a step before one that came earlier."""
        self._latest = NEVER
        """No deadline in the line is later, and the next look is soon enough for any that is: so most need no more than
        this comparison. Whose it was may have left."""
        self._soon_enough = NEVER
        """The next look comes in time for deadlines from this one on."""
        self._apart: Steps[Item] = Steps()
        """Who came out of turn."""

    def __len__(self) -> int:
        return len(self._line) + len(self._apart)

    def __bool__(self) -> bool:
        return bool(self._line) or len(self._apart) > 0

    def look_at(self, moment: float) -> None:
        """The caller will look then, and not before; ``NEVER`` until this was called."""
        self._soon_enough = moment - STEP
        self._latest = max(self._latest, self._soon_enough)

    def add(self, item: Item) -> bool:
        """Whether the next look would come too late for it, so that the caller must look at ``next_at``."""
        deadline = item.deadline
        if deadline >= self._latest:
            self._latest = deadline
            self._line[item] = True
            return False
        if deadline >= self._latest - STEP or self._is_in_turn(deadline):
            self._line[item] = True
        else:
            self._apart.add(item)
        return deadline < self._soon_enough

    def discard(self, item: Item) -> None:
        """One that is not here is no error."""
        if not self._line.pop(item, False):
            self._apart.discard(item)

    def discard_all(self, items: Collection[Item]) -> None:
        if not all(list(map(self._line.pop, items, _ABSENT))):
            for item in items:
                self._apart.discard(item)

    def due(self, now: float) -> list[Item]:
        """Everything whose time is over; it is not in here any more."""
        found: list[Item] = []
        for item in self._line:
            if item.deadline > now:
                break
            found.append(item)
        for item in found:
            del self._line[item]
        return found + self._apart.due(now)

    def clear(self) -> list[Item]:
        """Everybody, whenever their time comes; nobody is left in here."""
        everybody = [*self._line, *self._apart.clear()]
        self._line.clear()
        return everybody

    @property
    def next_at(self) -> float | None:
        """When to look again; late by one step at most."""
        first = next(iter(self._line), None)
        apart = self._apart.next_at
        if first is None:
            return apart
        return first.deadline if apart is None else min(first.deadline, apart)

    def _is_in_turn(self, deadline: Deadline) -> bool:
        """Asked where ``_latest`` says no: whoever had that deadline may have left long ago."""
        last = next(reversed(self._line), None)
        if last is None:
            self._latest = deadline
            return True
        # Those before the last one are later by a step at most, or he would not be in the line.
        self._latest = max(deadline, last.deadline + STEP)
        return deadline >= last.deadline
