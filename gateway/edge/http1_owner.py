"""What an HTTP/1.1 connection asks of its server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gateway.edge.config import EdgeConfig
from gateway.edge.http_exchange import HttpExchange

if TYPE_CHECKING:
    from gateway.edge.http1_connection import Connection

__all__ = ["Owner"]


class Owner(Protocol):
    config: EdgeConfig
    exchange: HttpExchange
    clock: Callable[[], float]
    """The wall clock, for the ``Date`` of answers."""
    now: float
    """The loop's time at the last sweep: good enough for limits of seconds, and free."""
    is_draining: bool
    held: int
    """Bytes of bodies that are arriving, on all connections."""

    def opened(self, connection: Connection) -> None: ...

    def settled(self, connection: Connection) -> None:
        """Called during a drain when a connection has become idle."""

    def gone(self, connection: Connection, task: asyncio.Task[None] | None) -> None: ...
