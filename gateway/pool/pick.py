"""
Which worker gets the next batch: the one with the fewest rows in flight; equals take turns.

Pure. Rows and not batches, because they are what takes time; a worker that rests, drains, is lost or is taken out
by its breaker has no places and is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

__all__ = ["Pickable", "pick"]


class Pickable(Protocol):
    """A worker, as far as the choice goes."""

    @property
    def process(self) -> str:
        """Not the address: who was lost with a batch and has been replaced there need not be avoided any more."""
        ...

    @property
    def flight(self) -> Load: ...


class Load(Protocol):
    """What a worker has and takes."""

    @property
    def is_open(self) -> bool:
        """Whether it takes batches at all."""
        ...

    @property
    def places(self) -> int:
        """Batches that it takes without making them wait."""
        ...

    @property
    def rows(self) -> int: ...


Worker = TypeVar("Worker", bound=Pickable)

NONE: Final = (False, False, 0)


def pick(workers: Sequence[Worker], turn: int, avoid: str = "") -> Worker | None:
    """
    ``turn`` counts the choices made, so that equals take turns. ``avoid`` gets it only if nobody else takes batches.

    When every place is taken, the least loaded worker gets a batch more: whoever asked first had its reasons.
    """
    number = len(workers)
    best: Worker | None = None
    best_load = NONE
    for i in range(number):
        worker = workers[(turn + i) % number]
        flight = worker.flight
        if not flight.is_open:
            continue
        load = (worker.process == avoid, flight.places <= 0, flight.rows)
        if load == NONE:
            return worker  # nobody has less
        if best is None or load < best_load:
            best, best_load = worker, load
    return best
