"""
Who runs out of time when, in steps of one millisecond: a table for deadlines in any order.

Pure: the caller passes the time in.
"""

from __future__ import annotations

import heapq
from typing import Generic, Protocol, TypeVar

from gateway.core.deadline import Deadline

__all__ = ["SLACK", "STEPS", "Expiring", "Steps"]

STEPS = 1000
"""Per second."""

SLACK = 4096
"""Steps that may be kept in vain."""


class Expiring(Protocol):
    """What has a deadline."""

    @property
    def deadline(self) -> Deadline: ...


Item = TypeVar("Item", bound=Expiring)


class Steps(Generic[Item]):
    """Never early, and late by one step at most. Items must be hashable by identity, and their deadlines stay."""

    __slots__ = ("_count", "_order", "_steps")

    def __init__(self) -> None:
        self._steps: dict[int, set[Item]] = {}
        """Emptied ones stay until their time comes, or until there are too many: made anew they would cost more."""
        self._order: list[int] = []
        """The steps as a heap."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, item: Item) -> None:
        step = int(item.deadline * STEPS) + 1
        items = self._steps.get(step)
        if items is None:
            self._steps[step] = {item}
            heapq.heappush(self._order, step)
        elif item in items:
            return
        else:
            items.add(item)
        self._count += 1

    def discard(self, item: Item) -> None:
        items = self._steps.get(int(item.deadline * STEPS) + 1)
        if items is not None and item in items:
            items.remove(item)
            self._count -= 1
            if len(self._order) > 2 * self._count + SLACK:
                self._sweep()

    def due(self, now: float) -> list[Item]:
        """Everything whose time is over, earliest first; it is not in here any more."""
        found: list[Item] = []
        while self._order and (self._order[0] <= now * STEPS or not self._steps[self._order[0]]):
            found += self._steps.pop(heapq.heappop(self._order))
        self._count -= len(found)
        return found

    def clear(self) -> list[Item]:
        """Everybody, whenever their time comes; nobody is left in here."""
        everybody = [item for items in self._steps.values() for item in items]
        self._steps.clear()
        self._order.clear()
        self._count = 0
        return everybody

    @property
    def next_at(self) -> float | None:
        """When to look again; may be too early, never too late."""
        return self._order[0] / STEPS if self._order else None

    def _sweep(self) -> None:
        # Else callers with far deadlines would leave a step each behind until then.
        self._steps = {step: items for step, items in self._steps.items() if items}
        self._order = sorted(self._steps)
