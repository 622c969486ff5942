"""
The line in front of the workers: tickets in the order of their coming, taken out a batch at a time.

Pure: it never looks at a clock and never wakes anybody. It promises three things. The oldest ticket always leaves
first. A batch holds rows of one layout only, told by identity. What was put in comes out exactly once: in a batch,
or by ``remove``.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from gateway.core.rows import Rows

__all__ = ["Waiting", "Window"]


class Waiting(Protocol):
    """What can stand in line."""

    @property
    def rows(self) -> Rows: ...


Item = TypeVar("Item", bound=Waiting)


class Window(Generic[Item]):
    """Counts rows, not requests. Items must be hashable by identity."""

    __slots__ = ("_arrivals", "_lanes", "rows")

    def __init__(self) -> None:
        # A lane per layout, each in order of arrival; a dict, because its items also leave from the middle.
        self._lanes: dict[int, dict[Item, int]] = {}
        self._arrivals = 0
        self.rows = 0
        """Rows that wait."""

    def __bool__(self) -> bool:
        # Not the same as ``rows > 0``: a request of no rows waits for its answer too.
        return bool(self._lanes)

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def put(self, item: Item) -> None:
        rows = item.rows
        # The id is safe as a key: as long as the lane is not empty, its items keep the layout alive.
        lane = self._lanes.get(id(rows.layout))
        if lane is None:
            lane = self._lanes[id(rows.layout)] = {}
        self._arrivals += 1
        lane[item] = self._arrivals
        self.rows += rows.count

    def remove(self, item: Item) -> bool:
        """Let ``item`` leave without being served; False when it is not here, which is normal."""
        key = id(item.rows.layout)
        lane = self._lanes.get(key)
        if lane is None or lane.pop(item, None) is None:
            return False
        if not lane:
            del self._lanes[key]
        self.rows -= item.rows.count
        return True

    def take(self, limit: int) -> list[Item]:
        """
        The next batch: the oldest item, and those behind it with the same layout while they fit into ``limit`` rows.

        The oldest leaves even when it alone has more rows than ``limit``, which may have shrunk since it came.
        """
        lanes = self._lanes
        if not lanes:
            return []
        key = next(iter(lanes)) if len(lanes) == 1 else min(lanes, key=self._oldest)
        lane = lanes[key]
        batch: list[Item] = []
        room = limit
        for item in lane:
            count = item.rows.count
            if count > room and batch:
                break
            batch.append(item)
            room -= count
        if len(batch) == len(lane):
            del lanes[key]
        else:
            for item in batch:
                del lane[item]
        self.rows -= limit - room
        return batch

    def clear(self) -> list[Item]:
        """Everything that waits, oldest first."""
        everything = {item: arrival for lane in self._lanes.values() for item, arrival in lane.items()}
        self._lanes.clear()
        self.rows = 0
        return sorted(everything, key=everything.__getitem__)

    def _oldest(self, key: int) -> int:
        return next(iter(self._lanes[key].values()))
