"""
Which calls have run out of time. One ordered table for a connection, so that a call needs no timer of its own.

Most calls end long before their deadline; what they leave in the heap is swept out once it is the larger part.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf

__all__ = ["Deadlines"]

_SWEEP = 64
"""Leavings that are not worth a sweep."""


class Deadlines:
    __slots__ = ("_heap", "_of", "earliest")

    def __init__(self) -> None:
        self.earliest = inf
        """Nothing is due before; known without a look at who has left meanwhile."""
        self._heap: list[tuple[float, int]] = []
        self._of: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._of)

    def add(self, stream_id: int, at: float) -> None:
        self._of[stream_id] = at
        heappush(self._heap, (at, stream_id))
        self.earliest = min(self.earliest, at)

    def discard(self, stream_id: int) -> None:
        if self._of.pop(stream_id, None) is not None and len(self._heap) > 2 * len(self._of) + _SWEEP:
            self._heap = [(at, stream) for stream, at in self._of.items()]
            heapify(self._heap)

    def clear(self) -> None:
        self._heap.clear()
        self._of.clear()
        self.earliest = inf

    @property
    def next(self) -> float | None:
        """When the earliest is due; None when nobody waits."""
        heap, of = self._heap, self._of
        while heap and of.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> list[int]:
        """Takes out what has expired."""
        expired: list[int] = []
        if now < self.earliest:
            return expired
        while (at := self.next) is not None and at <= now:
            stream_id = heappop(self._heap)[1]
            del self._of[stream_id]
            expired.append(stream_id)
        self.earliest = inf if at is None else at
        return expired
