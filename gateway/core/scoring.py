"""
The seam between dispatch, which decides what leaves when, and the pool, which knows the workers.

The two never import each other: dispatch is handed something that looks like ``Scorer``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.deadline import Deadline
from gateway.core.errors import WorkerFailed
from gateway.core.rows import Rows

__all__ = ["Scored", "Scorer", "WorkerLost"]


@dataclass(slots=True)
class Scored:
    """One batch with its answers. Times in seconds, measured by the worker."""

    rows: Rows
    queue: float
    compute: float
    worker: str


class WorkerLost(WorkerFailed):
    """A worker took the batch and did not answer it; ``worker`` names it, so that a retry can avoid it."""

    def __init__(self, message: str, worker: str) -> None:
        super().__init__(message)
        self.worker = worker


class Scorer(Protocol):
    """The live workers of one deployment."""

    @property
    def places(self) -> int:
        """Batches that may be sent right now without waiting behind another caller's."""
        ...

    @property
    def spare(self) -> int:
        """Further batches that workers could take ahead of their time: worth it only for full ones."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether at least one worker can take a batch now or soon; true while there are places."""
        ...

    def on_place(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``places`` may have grown, or ``is_ready`` changed."""
        ...

    def off_place(self, callback: Callable[[], None]) -> None:
        """Do not call it any more; one that is not called anyway is no error."""
        ...

    async def score(self, rows: Rows, deadline: Deadline, avoid: str = "") -> Scored:
        """
        Score one batch on the worker with the fewest rows in flight, other than ``avoid`` where there is a choice.

        Raises ``WorkerLost``, ``ModelFailed``, ``InvalidInput``, ``DeadlineExceeded`` or ``NotReady``. The place is
        taken before the first suspension, so that a caller who checks ``places`` first cannot be overtaken.
        """
        ...
