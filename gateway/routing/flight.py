"""
One answered request on its way to a shadow and back, and what it meets there: a line to stand in, and whoever makes the
shadow's rows out of the primary's. Plain classes, because one of each is made per mirrored request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.core.deadline import Deadline
from gateway.core.request import Answer, Deployment, Enriched
from gateway.core.rows import Rows
from gateway.routing.shadow import Shadow

__all__ = ["Flight", "Line", "Offer", "Prepare"]


class Line(Protocol):
    """Where rows wait for the workers of one deployment."""

    @property
    def rows_waiting(self) -> int: ...

    def accept_once(self, rows: Rows, deadline: Deadline, /) -> Any:
        """
        A place, with a future ``reply`` of ``Rows``; whatever fails, the rows are not tried again.

        Raises ``GatewayError``.
        """

    def withdraw(self, place: Any, /) -> None:
        """Nobody waits there any more."""


class Prepare(Protocol):
    """Makes the rows of a shadow out of what the primary has read."""

    def rows(self, request: Enriched, shadow: Deployment) -> Rows | None:
        """None where more must be read. Raises ``InvalidInput``."""

    async def read(self, request: Enriched, shadow: Deployment, deadline: Deadline) -> Rows:
        """With what must be read. Raises ``GatewayError``."""


@dataclass(slots=True, eq=False)
class Offer:
    """One answered request that somebody is to get as well."""

    request: Enriched
    answer: Answer | None
    """None where the primary failed."""
    seconds: float
    targets: list[Shadow]
    is_alone: bool = False
    """Whether it goes without company."""


@dataclass(slots=True, eq=False)
class Flight:
    """A request at one shadow."""

    target: Shadow
    primary: Deployment
    shadow: Deployment
    request_id: str
    answer: Answer | None
    seconds: float
    inputs: Rows | None
    rows: int
    is_alone: bool
    sent: float = 0.0
    line: Line | None = None
    place: Any = field(default=None, repr=False)
