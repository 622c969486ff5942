"""
The line in front of the workers: tickets in the order of their coming, taken out a batch at a time.

Pure: it never looks at a clock and never wakes anybody. It promises three things. The oldest ticket always leaves
first. A batch holds rows of one layout only, told by identity. What was put in comes out exactly once: in a batch,
or by ``remove``.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from gateway.core.rows import Layout, Rows

__all__ = ["Waiting", "Window"]


class Waiting(Protocol):
    """What can stand in line."""

    @property
    def rows(self) -> Rows: ...


Item = TypeVar("Item", bound=Waiting)


class Window(Generic[Item]):
    """Counts rows, not requests. Items must be hashable by identity."""

    __slots__ = ("_lane", "_lanes", "_layout", "_run", "rows")

    def __init__(self) -> None:
        # A lane per layout, each in order of arrival; a dict, because its items also leave from the middle. Layouts
        # are compared by identity.
        self._lanes: dict[Layout | None, dict[Item, int]] = {}
        self._layout: Layout | None = None
        """Of the newest item; its lane stays while it is empty, and all others are gone when they are."""
        self._lane: dict[Item, int] = {}
        self._run = 0
        """Counts how often the layout changed from one item to the next: tells across lanes who came first."""
        self.rows = 0
        """Rows that wait. A request of no rows counts as one: it waits for its answer too."""

    def __bool__(self) -> bool:
        return self.rows > 0

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def put(self, item: Item) -> None:
        rows = item.rows
        if rows.layout is not self._layout:
            self._change(rows.layout)
        self._lane[item] = self._run
        self.rows += rows.count or 1

    def remove(self, item: Item) -> bool:
        """Let ``item`` leave without being served; False when it is not here, which is normal."""
        layout = item.rows.layout
        lane = self._lanes.get(layout)
        if lane is None or lane.pop(item, None) is None:
            return False
        if not lane and layout is not self._layout:
            del self._lanes[layout]
        self.rows -= item.rows.count or 1
        return True

    def take(self, limit: int) -> list[Item]:
        """
        The next batch: the oldest item, and those behind it with the same layout while they fit into ``limit`` rows.

        The oldest leaves even when it alone has more rows than ``limit``, which may have shrunk since it came.
        """
        lane, lanes = self._lane, self._lanes
        if len(lanes) < 2 and self.rows <= limit:  # all of them
            batch = [*lane]
            lane.clear()
            self.rows = 0
            return batch
        filled = [layout for layout, lane in lanes.items() if lane]
        oldest = min(filled, key=self._oldest)
        lane = lanes[oldest]
        batch = []
        room = limit
        for item in lane:
            count = item.rows.count or 1
            if count > room and batch:
                break
            batch.append(item)
            room -= count
        for item in batch:
            del lane[item]
        if not lane and oldest is not self._layout:
            del lanes[oldest]
        self.rows -= limit - room
        return batch

    def clear(self) -> list[Item]:
        """Everything that waits, oldest first."""
        # Items of one run are of one lane, where they are in order; sorting keeps it.
        everything = sorted([(run, item) for lane in self._lanes.values() for item, run in lane.items()], key=_run_of)
        self._lanes.clear()
        self._layout, self._lane = None, {}
        self.rows = 0
        return [item for _, item in everything]

    def _change(self, layout: Layout) -> None:
        if not self._lane:
            self._lanes.pop(self._layout, None)
        self._run += 1
        self._layout = layout
        self._lane = self._lanes.setdefault(layout, {})

    def _oldest(self, layout: Layout | None) -> int:
        return next(iter(self._lanes[layout].values()))


def _run_of(entry: tuple[int, object]) -> int:
    return entry[0]
