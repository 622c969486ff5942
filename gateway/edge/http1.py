"""
HTTP/1.1 by llhttp (httptools): the same exchange as ``http_server`` runs on aiohttp, at a third of the cost or less.

The server owns the listener and the connections. One sweep over all connections keeps every time limit, instead of a
timer for each: limits are kept late by up to two sweeps, never early.
"""

from __future__ import annotations

import asyncio
import ssl
import time

import structlog

from gateway.edge.config import EdgeConfig
from gateway.edge.http1_connection import Connection
from gateway.edge.http_answer import DateHeader
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.listener import ProtocolFactory, one_port

__all__ = ["Http1Server"]

log = structlog.get_logger()

_MIN_SWEEP_S, _MAX_SWEEP_S = 0.02, 5.0
_SWEEPS_IN_LIMIT = 8
_HANDSHAKE_S = 10.0
_SHUTDOWN_S = 2.0
"""How long TLS may take to say hello, and to say goodbye."""
_CLOSE_S = 1.0
"""How long the last answer's bytes may take to leave, once it is there."""
_CUT_S = 0.05
"""The same for requests that are out of time: then they are cancelled."""
_LAST_TURNS = 3
"""Turns of the loop in which a drain still takes what the kernel had already received."""


class Http1Server:
    """
    Listens from ``start`` until ``drain``. ``ssl_context`` None serves plain HTTP, for tests and for meshes.

    With ``http2`` the port takes HTTP/2 too; such connections are that factory's, and draining them is not done here.
    """

    def __init__(
        self,
        config: EdgeConfig,
        exchange: HttpExchange,
        ssl_context: ssl.SSLContext | None,
        http2: ProtocolFactory | None = None,
    ) -> None:
        self.config, self.exchange = config, exchange
        self.date = DateHeader(time.time)
        self.now = 0.0
        self.is_draining = False
        self._ssl_context, self._http2 = ssl_context, http2
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._cut: set[asyncio.Task[None]] = set()
        """Requests that were cancelled and are not over yet."""
        self._changed = asyncio.Event()
        shortest = min(config.body_timeout_ms, config.idle_timeout_ms) / 1000
        self._sweep_s = min(max(shortest / _SWEEPS_IN_LIMIT, _MIN_SWEEP_S), _MAX_SWEEP_S)
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, also when the configuration left it to the kernel with 0."""
        if self._listener is None:
            raise RuntimeError("the server is not started")
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    def protocol_factory(self) -> ProtocolFactory:
        """Makes one protocol per connection, for whoever accepts them."""
        return lambda: Connection(self)

    async def start(self) -> None:
        """Accepts connections from the moment this returns. Several processes may listen on one port."""
        config, is_tls = self.config, self._ssl_context is not None
        factory = self.protocol_factory()
        if self._http2 is not None:
            factory = one_port(factory, self._http2, is_tls=is_tls, silence=config.idle_timeout_ms / 1000)
        self._listener = await asyncio.get_running_loop().create_server(
            factory,
            config.host,
            config.http_port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=_HANDSHAKE_S if is_tls else None,
            ssl_shutdown_timeout=_SHUTDOWN_S if is_tls else None,
            backlog=config.backlog,
            reuse_port=True,
        )
        self._sweep()
        log.info("edge.http_listening", port=self.port, tls=is_tls, engine="httptools")

    async def drain(self, grace: float) -> None:
        """
        Stop accepting, answer what has arrived with ``Connection: close``, then close; at most ``grace`` seconds long.

        A connection that is idle when all is answered is closed without a word, as HTTP/1.1 allows.
        """
        if self._listener is None:
            return
        self.is_draining = True
        self._listener.close()
        close_s = _CLOSE_S
        try:
            async with asyncio.timeout(grace):
                await self._settle()
        except TimeoutError:
            close_s = _CUT_S
            log.warning("edge.http_drain_cut", in_flight=sum(each.is_busy for each in self._connections))
        for connection in list(self._connections):
            connection.close()
        try:
            async with asyncio.timeout(close_s):
                await self._until_gone()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            await asyncio.sleep(0)
        if self._cut:
            await asyncio.wait(self._cut, timeout=_CLOSE_S)
        if self._sweeper is not None:
            self._sweeper.cancel()

    # What the connections call.

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)

    def settled(self) -> None:
        self._changed.set()

    def gone(self, connection: Connection, task: asyncio.Task[None] | None) -> None:
        self._connections.discard(connection)
        if task is not None:
            self._cut.add(task)
            task.add_done_callback(self._cut.discard)
        if self.is_draining:
            self._changed.set()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.now = now = loop.time()
        for connection in list(self._connections):
            connection.sweep(now, self._sweep_s)
        self._sweeper = loop.call_later(self._sweep_s, self._sweep)

    async def _settle(self) -> None:
        """Until nothing that has arrived is left unanswered."""
        while True:
            for _ in range(_LAST_TURNS):
                await asyncio.sleep(0)
            self._changed.clear()
            if not any(connection.is_busy for connection in self._connections):
                return
            await self._changed.wait()

    async def _until_gone(self) -> None:
        while self._connections:
            self._changed.clear()
            await self._changed.wait()
