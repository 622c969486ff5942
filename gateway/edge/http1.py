"""
HTTP/1.1 by llhttp (httptools): the same exchange as ``http_server`` runs on aiohttp, at a third of the cost or less.

The server owns the listener and the connections. One sweep over all connections keeps every time limit, instead of a
timer for each: limits are kept late by up to two sweeps, never early.
"""

from __future__ import annotations

import asyncio
import ssl

from gateway.edge.config import EdgeConfig
from gateway.edge.connection_limit import PerAddress
from gateway.edge.http1_connection import Connection
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_listener import HttpListener
from gateway.edge.listener import ProtocolFactory

__all__ = ["Http1Server"]

_MIN_SWEEP_S, _MAX_SWEEP_S = 0.02, 5.0
_SWEEPS_IN_LIMIT = 8
_NEWCOMER_S = 1.0
"""How long a drain waits for the first request of a client that was let in only after it had begun."""
_CUT_OFF_S = 1.0
"""How long a cancelled request may take to end."""


class Http1Server(HttpListener):
    engine = "httptools"

    def __init__(
        self,
        config: EdgeConfig,
        exchange: HttpExchange,
        ssl_context: ssl.SSLContext | None,
        http2: ProtocolFactory | None = None,
    ) -> None:
        super().__init__(config, exchange, ssl_context, http2)
        self.now = 0.0
        self._connections: set[Connection] = set()
        self._newcomers: set[Connection] = set()
        self._places = PerAddress(config.max_connections_per_address)
        self._cut: set[asyncio.Task[None]] = set()
        """Requests that were cancelled and are not over yet."""
        shortest = min(config.body_timeout_ms, config.idle_timeout_ms) / 1000
        self._sweep_s = min(max(shortest / _SWEEPS_IN_LIMIT, _MIN_SWEEP_S), _MAX_SWEEP_S)
        self._sweeper: asyncio.TimerHandle | None = None

    def protocol_factory(self) -> ProtocolFactory:
        return lambda: Connection(self)

    @property
    def in_flight(self) -> int:
        return len(self._newcomers) + sum(each.is_busy for each in self._connections - self._newcomers)

    async def start(self) -> None:
        await super().start()
        self._sweep()

    async def _close(self, seconds: float) -> None:
        for connection in list(self._connections):
            connection.close()
        try:
            async with asyncio.timeout(seconds):
                await self._until_gone()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            await asyncio.sleep(0)
        if self._cut:
            await asyncio.wait(self._cut, timeout=_CUT_OFF_S)
        if self._sweeper is not None:
            self._sweeper.cancel()

    # What the connections call.

    def opened(self, connection: Connection) -> None:
        if not self._places.enters(connection.peer):
            connection.abort()
            return
        self._connections.add(connection)
        if self.is_draining:
            self._newcomers.add(connection)
            asyncio.get_running_loop().call_later(_NEWCOMER_S, self._no_newcomer, connection)

    def settled(self, connection: Connection) -> None:
        self._no_newcomer(connection)

    def gone(self, connection: Connection, task: asyncio.Task[None] | None) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            self._places.left(connection.peer)
        if task is not None:
            self._cut.add(task)
            task.add_done_callback(self._cut.discard)
        if self.is_draining:
            self._no_newcomer(connection)

    def _no_newcomer(self, connection: Connection) -> None:
        self._newcomers.discard(connection)
        self._changed.set()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.now = now = loop.time()
        for connection in list(self._connections):
            connection.sweep(now, self._sweep_s)
        self._sweeper = loop.call_later(self._sweep_s, self._sweep)

    async def _until_gone(self) -> None:
        while self._connections:
            self._changed.clear()
            await self._changed.wait()
