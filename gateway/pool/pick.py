"""
Which worker gets the next batch: the one with the fewest rows in flight; equals take turns.

Pure. Rows and not batches, because they are what takes time; a worker that rests, drains, is lost or is taken out
by its breaker has no places and is skipped.

A batch that was lost before goes to another address while one there has a place: what took its process may be wrong
with the address itself (its core, its GPU), and this is the last try. Where none has, the process that has started
there since is as good as any: else all that one worker lost would pile up on the others, beside an idle one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

__all__ = ["Pickable", "pick", "pick_again"]


class Pickable(Protocol):
    """A worker, as far as the choice goes."""

    @property
    def process(self) -> str: ...

    def ran(self, process: str) -> bool:
        """Whether ``process`` is, or was, at the address of this one."""
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

NONE: Final = (False, 0)


def pick(workers: Sequence[Worker], turn: int) -> Worker | None:
    """
    ``turn`` counts the choices made, so that equals take turns.

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
        load = (flight.places <= 0, flight.rows)
        if load == NONE:
            return worker  # nobody has less
        if best is None or load < best_load:
            best, best_load = worker, load
    return best


def pick_again(workers: Sequence[Worker], turn: int, avoid: str) -> Worker | None:
    """The same for a batch that the process ``avoid`` was lost with, and which gets it only if nobody else does."""

    def load(worker: Worker) -> tuple[bool, bool, bool, int]:
        flight = worker.flight
        return worker.process == avoid, flight.places <= 0, worker.ran(avoid), flight.rows

    number = len(workers)
    in_turn = (workers[(turn + i) % number] for i in range(number))
    return min((worker for worker in in_turn if worker.flight.is_open), key=load, default=None)
