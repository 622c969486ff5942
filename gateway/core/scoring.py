"""
The seam between dispatch, which decides what leaves when, and the pool, which knows the workers.

The two never import each other: dispatch is handed something that looks like ``Scorer``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from gateway.core.deadline import Deadline
from gateway.core.errors import GatewayError, WorkerFailed
from gateway.core.rows import Rows

__all__ = ["Outcome", "Scored", "Scorer", "WorkerLost"]


class Scored(msgspec.Struct, gc=False):
    """
    One batch with its answers; ``compute`` is seconds, measured by the worker.

    One is made per batch, and a struct of msgspec takes half the time of a dataclass. ``gc=False`` as ``Rows`` are.
    """

    rows: Rows
    compute: float


class WorkerLost(WorkerFailed):
    """A worker took the batch and did not answer it; ``worker`` names its process, so that a retry can avoid that."""

    def __init__(self, message: str, worker: str) -> None:
        super().__init__(message)
        self.worker = worker


Outcome: TypeAlias = Scored | GatewayError
"""How a batch ended."""


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

    def send(self, rows: Rows, deadline: Deadline, on_end: Callable[[Outcome], None], avoid: str = "") -> None:
        """
        Score one batch on the worker with the fewest rows in flight, other than ``avoid`` where there is a choice.

        ``on_end`` is called exactly once, after this has returned: with the answer, or with ``WorkerLost``,
        ``ModelFailed``, ``InvalidInput``, ``DeadlineExceeded`` or ``NotReady``. A callback and not a future, which
        would cost every answer a turn of the loop; it must not raise. The batch's place is free by then.

        Raises ``NotReady`` or ``DeadlineExceeded`` where the batch cannot even leave. The place is taken when this
        returns, so that a caller who checks ``places`` first cannot be overtaken.
        """
        ...
