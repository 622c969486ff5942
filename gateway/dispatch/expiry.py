"""
Who runs out of time when, in steps of one millisecond.

A timer per request would cost 2.6 µs to set and cancel on uvloop; to enter and leave this table costs 0.5 µs, and
one timer serves the whole deployment. Pure: the caller passes the time in and keeps that one timer.
"""

from __future__ import annotations

import heapq
from typing import Generic, Protocol, TypeVar

from gateway.core.deadline import Deadline

__all__ = ["Expiring", "Expiry"]

STEPS = 1000
"""Per second."""

SLACK = 4096
"""Steps that may be remembered in vain."""


class Expiring(Protocol):
    """What has a deadline."""

    @property
    def deadline(self) -> Deadline: ...


Item = TypeVar("Item", bound=Expiring)


class Expiry(Generic[Item]):
    """Never early, and late by one step at most. Items must be hashable by identity."""

    __slots__ = ("_order", "_steps")

    def __init__(self) -> None:
        self._steps: dict[int, set[Item]] = {}
        self._order: list[int] = []
        """A heap of steps. Some are empty by now, or in here twice."""

    def __len__(self) -> int:
        return sum(len(items) for items in self._steps.values())

    def __bool__(self) -> bool:
        return bool(self._steps)

    def add(self, item: Item) -> None:
        step = int(item.deadline * STEPS) + 1
        items = self._steps.get(step)
        if items is None:
            self._steps[step] = {item}
            heapq.heappush(self._order, step)
        else:
            items.add(item)

    def discard(self, item: Item) -> None:
        step = int(item.deadline * STEPS) + 1
        items = self._steps.get(step)
        if items is None:
            return
        items.discard(item)
        if not items:
            del self._steps[step]
            # Else callers with far deadlines would leave a number each behind until then.
            if len(self._order) > 2 * len(self._steps) + SLACK:
                self._order = list(self._steps)
                heapq.heapify(self._order)

    def due(self, now: float) -> list[Item]:
        """Everything whose time is over, earliest first; it is not in here any more."""
        found: list[Item] = []
        while self._order and (self._order[0] <= now * STEPS or self._order[0] not in self._steps):
            found += self._steps.pop(heapq.heappop(self._order), ())
        return found

    def clear(self) -> list[Item]:
        """Everybody, whenever their time comes; nobody is left in here."""
        everybody = [item for items in self._steps.values() for item in items]
        self._steps.clear()
        self._order.clear()
        return everybody

    @property
    def next_at(self) -> float | None:
        """When to look again; may be too early, never too late."""
        return self._order[0] / STEPS if self._order else None
