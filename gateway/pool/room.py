"""
How many batches the workers of one deployment take now.

Every request asks, and only a batch that leaves or returns, or a worker that changes, makes a difference: so each
worker's figures are set when they change, and the sums with them. Pure.
"""

from __future__ import annotations

__all__ = ["Room", "Rooms"]


class Rooms:
    """The sums over all workers; plain attributes, for reading only."""

    __slots__ = ("open", "places", "spare")

    def __init__(self) -> None:
        self.open = 0
        """Workers that take batches at all."""
        self.places = 0
        """Batches that may be sent right now without making them wait."""
        self.spare = 0
        """The same, and batches that workers could take ahead of their time."""


class Room:
    """Of one worker, which counts in ``rooms``; the names mean the same."""

    __slots__ = ("_most", "_rooms", "is_next_wanted", "is_open", "spare")

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._most = 0
        self.is_open = False
        self.is_next_wanted = True
        """Whether it takes any other batch, or only a full one."""
        self.spare = 0

    @property
    def places(self) -> int:
        return self.spare if self.is_next_wanted else 0

    def limit(self, most: int) -> None:
        """It may have ``most`` batches from now on; ``hold`` must follow."""
        self._most = most
        is_open = most > 0
        if is_open is not self.is_open:
            self.is_open = is_open
            self._rooms.open += 1 if is_open else -1

    def hold(self, batches: int, is_next_wanted: bool) -> None:
        """It has ``batches`` now. Not needed where one came or went, which ``Flight`` counts itself."""
        rooms, before, most = self._rooms, self.places, self._most
        spare = most - batches if most > batches else 0
        rooms.spare += spare - self.spare
        self.spare, self.is_next_wanted = spare, is_next_wanted
        rooms.places += self.places - before
