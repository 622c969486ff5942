"""
What both HTTP engines have in common: the port, and the order in which it is left.

A drain loses nobody who has been let in: no new connections, those in the middle of a handshake may finish it, what has
arrived is answered with ``Connection: close``, and only then the rest is closed, which by then is idle or out of time.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from abc import ABC, abstractmethod

import structlog

from gateway.edge.config import EdgeConfig
from gateway.edge.heap_trim import HeapTrim, malloc_trim
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.listener import OnePort, ProtocolFactory

__all__ = ["LINGER_S", "HttpListener"]

log = structlog.get_logger()

LINGER_S = 2.0
"""How long the rest of a refused body is read and dropped, so that the client sees the answer and not a reset."""
_HANDSHAKE_S = 10.0
_SHUTDOWN_S = 2.0
"""How long TLS may take to say hello, and to say goodbye."""
_CLOSE_S = 1.0
"""How long the last answer's bytes may take to leave, once it is there."""
_CUT_S = 0.05
"""The same for requests that are out of time: then they are cancelled."""
_LAST_TURNS = 3
"""Turns of the loop in which a drain still takes what the kernel had already received."""


class HttpListener(ABC):
    """
    Listens from ``start`` until ``drain``. ``ssl_context`` None serves plain HTTP, for tests and for meshes.

    With ``http2`` the port takes HTTP/2 too; such connections are that factory's, and draining them is not done here.
    """

    engine: str
    """For the log."""

    def __init__(
        self,
        config: EdgeConfig,
        exchange: HttpExchange,
        ssl_context: ssl.SSLContext | None,
        http2: ProtocolFactory | None = None,
    ) -> None:
        self.config, self.exchange = config, exchange
        self.clock = time.time
        self.is_draining = False
        self.held = 0
        """Bytes of bodies that are arriving, on all connections; ``max_in_flight_bytes`` holds for them too."""
        self._changed = asyncio.Event()
        """Set when a request is over, or a connection, so that a drain looks again."""
        self._ssl_context, self._http2 = ssl_context, http2
        self._door: OnePort
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, also when the configuration left it to the kernel with 0."""
        if self._listener is None:
            raise RuntimeError("the server is not started")
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Accepts connections from the moment this returns. Several processes may listen on one port."""
        config, is_tls = self.config, self._ssl_context is not None
        self._door = OnePort(
            self.protocol_factory(),
            self._http2,
            is_tls=is_tls,
            silence=config.idle_timeout_ms / 1000,
            on_secured=HeapTrim(malloc_trim()),
            on_change=self._changed.set,
        )
        self._listener = await asyncio.get_running_loop().create_server(
            self._door,
            config.host,
            config.http_port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=_HANDSHAKE_S if is_tls else None,
            ssl_shutdown_timeout=_SHUTDOWN_S if is_tls else None,
            backlog=config.backlog,
            reuse_port=True,
        )
        log.info("edge.http_listening", port=self.port, tls=is_tls, engine=self.engine)

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
            log.warning("edge.http_drain_cut", in_flight=self.in_flight)
        self._door.close()
        await self._close(close_s)

    async def _settle(self) -> None:
        """Until nothing that has arrived is left unanswered, and nobody is being let in."""
        while True:
            for _ in range(_LAST_TURNS):
                await asyncio.sleep(0)
            self._changed.clear()
            if not (self.in_flight or self._door.is_expecting):
                return
            await self._changed.wait()

    # Of each engine.

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Requests that have arrived, at least their heads, and are not answered; asked for during a drain."""

    @abstractmethod
    def protocol_factory(self) -> ProtocolFactory:
        """Makes one protocol per connection, for whoever accepts them."""

    @abstractmethod
    async def _close(self, seconds: float) -> None:
        """Cancel what is left, and close every connection; what was written may take so long to leave."""
