"""
Which worker gets the next batch: the one with the fewest rows in flight; equals take turns.

Pure. Rows and not batches, because they are what takes time; a worker that rests, drains, is lost or is taken out
by its breaker has no places and is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

__all__ = ["Pickable", "pick"]


class Pickable(Protocol):
    """A worker, as far as the choice goes."""

    @property
    def address(self) -> str: ...
    @property
    def room(self) -> HasRoom: ...
    @property
    def flight(self) -> HasRows: ...


class HasRoom(Protocol):
    """What a worker takes."""

    @property
    def is_open(self) -> bool:
        """Whether it takes batches at all."""
        ...

    @property
    def places(self) -> int:
        """Batches that it takes without making them wait."""
        ...


class HasRows(Protocol):
    """What a worker has."""

    @property
    def rows(self) -> int: ...


Worker = TypeVar("Worker", bound=Pickable)


def pick(workers: Sequence[Worker], turn: int, avoid: str = "") -> Worker | None:
    """
    ``turn`` counts the choices made, so that equals take turns. ``avoid`` gets it only if nobody else takes batches.

    When every place is taken, the least loaded worker gets a batch more: whoever asked first had its reasons.
    """
    number = len(workers)
    if number == 1:  # as good as always where a model needs no more
        return workers[0] if workers[0].room.is_open else None
    best: Worker | None = None
    best_load = (0, 0, 0)
    for i in range(number):
        worker = workers[(turn + i) % number]
        room = worker.room
        if not room.is_open:
            continue
        load = (worker.address == avoid, room.places <= 0, worker.flight.rows)
        if best is None or load < best_load:
            best, best_load = worker, load
    return best
