"""
The server: ports, connections and an orderly end. Its methods are those of ``grpc.aio.Server`` that generated code and
ordinary programs call.

Stopping goes in the order that loses nobody: ports close, connections are told to start nothing more, accepted calls
are answered within the grace, what is left then ends with UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from h2grpc.counters import Counters
from h2grpc.handlers import GenericHandler, Handlers, MethodHandler
from h2grpc.interceptors import InterceptedHandlers, ServerInterceptor
from h2grpc.limits import Limits
from h2grpc.listen import BACKLOG, listen
from h2grpc.options import limits_from, reuses_port
from h2grpc.other import OtherHandler, OtherRefusal, refuse
from h2grpc.server_driver import ServerDriver
from h2grpc.server_transport import ServerTransport

__all__ = ["Server", "server"]

_TLS_HANDSHAKE = 10.0
_TLS_GOODBYE = 2.0
_CANCELLED_WITHIN = 1.0
"""Seconds for handlers that were cancelled to notice."""


def server(
    *,
    limits: Limits | None = None,
    options: Sequence[tuple[str, Any]] = (),
    other_requests: OtherHandler | None = None,
    refuse_other: OtherRefusal = refuse,
    interceptors: Sequence[ServerInterceptor] = (),
    compression: str | None = None,
    max_connections: int | None = None,
    admits: Callable[[str], bool] = lambda _: True,
    on_left: Callable[[str], None] = lambda _: None,
    on_secured: Callable[[], None] = lambda: None,
    reuse_port: bool = False,
    clock: Callable[[], float] = monotonic,
) -> Server:
    """
    A server that listens nowhere yet.

    ``options`` are grpcio's names for some of ``limits`` and for ``reuse_port``; ``other_requests`` answers what comes
    over HTTP/2 and is no gRPC, and ``refuse_other`` what of it could not be taken whole; ``interceptors`` are those of
    ``grpc.aio`` or like them; ``compression`` (gzip, deflate) is used for callers who can read it. ``admits`` is asked
    about the peer of each new connection, ``on_left`` told when one that was admitted is over, and ``on_secured`` when
    the handshake of one that came to a TLS port of this server is.
    """
    says = reuses_port(options)
    return Server(
        limits=limits_from(options, limits),
        other_requests=other_requests,
        refuse_other=refuse_other,
        handlers=InterceptedHandlers(interceptors) if interceptors else Handlers(),
        compression=compression,
        max_connections=max_connections,
        admits=admits,
        on_left=on_left,
        on_secured=on_secured,
        reuse_port=reuse_port if says is None else says,
        clock=clock,
    )


class Server:
    """Made by ``server``."""

    def __init__(
        self,
        *,
        limits: Limits,
        other_requests: OtherHandler | None,
        refuse_other: OtherRefusal,
        handlers: Handlers,
        compression: str | None,
        max_connections: int | None,
        admits: Callable[[str], bool],
        on_left: Callable[[str], None],
        on_secured: Callable[[], None],
        reuse_port: bool,
        clock: Callable[[], float],
    ) -> None:
        self.limits, self.handlers, self.compression, self.clock = limits, handlers, compression, clock
        self.other_requests, self.refuse_other = other_requests, refuse_other
        self.counters = Counters()
        self._max_connections, self._reuse_port = max_connections, reuse_port
        self._admits, self._on_left, self._on_secured = admits, on_left, on_secured
        self._sockets: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._paths: list[Path] = []
        self._listeners: list[asyncio.Server] = []
        self.connections: set[ServerTransport] = set()
        self._expected: set[weakref.ref[ServerTransport]] = set()
        """In the middle of TLS's handshake; nobody is told of one that fails, but it is let go of."""
        self.emptied = asyncio.Event()
        """Set while there is no connection, and none expected."""
        self.emptied.set()
        self.is_stopping = False
        self._stopped = asyncio.Event()

    # What generated code calls

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[GenericHandler]) -> None:
        self.handlers.add(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, MethodHandler]) -> None:
        self.handlers.register(service_name, method_handlers)

    # Ports

    def add_insecure_port(self, address: str) -> int:
        """The port in use, 1 for a Unix socket; ``RuntimeError`` if the address cannot be had."""
        return self._add(address, None)

    def add_secure_port(self, address: str, context: ssl.SSLContext) -> int:
        """``context`` belongs to this port from now on: it is made to offer ``h2`` and nothing else."""
        context.set_alpn_protocols(["h2"])
        return self._add(address, context)

    def _add(self, address: str, context: ssl.SSLContext | None) -> int:
        try:
            listener = listen(address, reuse_port=self._reuse_port)
        except OSError as error:
            raise RuntimeError(f"{address}: cannot be listened on: {error}") from error
        self._sockets.append((listener, context))
        if listener.family == socket.AF_UNIX:
            self._paths.append(Path(listener.getsockname()))
            return 1
        return int(listener.getsockname()[1])

    def protocol_factory(self) -> ServerDriver:
        """For one accepted transport that speaks HTTP/2: whoever accepted it calls ``connection_made``."""
        return ServerDriver(self)

    # Life

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for listener, context in self._sockets:
            is_tls = context is not None
            make = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
            self._listeners.append(
                await make(
                    self._accept if is_tls else self.protocol_factory,
                    sock=listener,
                    ssl=context,
                    backlog=BACKLOG,
                    ssl_handshake_timeout=_TLS_HANDSHAKE if is_tls else None,
                    ssl_shutdown_timeout=_TLS_GOODBYE if is_tls else None,
                )
            )

    async def stop(self, grace: float | None) -> None:
        """Returns when everything has ended; None for at once."""
        self.is_stopping = True
        for listener in self._listeners:
            listener.close()
        self._unlisten()
        for connection in list(self.connections):
            connection.drain()
        if grace:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self.emptied.wait()
        self._expected.clear()
        self._tell_if_empty()
        tasks = [context.task for connection in self.connections for context in connection.contexts]
        for connection in list(self.connections):
            connection.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CANCELLED_WITHIN):
                await self.emptied.wait()
        waiting = [task for task in tasks if task is not None and not task.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=_CANCELLED_WITHIN)
        for connection in list(self.connections):
            connection.abort()
        self._stopped.set()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """True if the time was up before the server had stopped."""
        try:
            async with asyncio.timeout(timeout):
                await self._stopped.wait()
        except TimeoutError:
            return True
        return False

    def _unlisten(self) -> None:
        for path in self._paths:
            path.unlink(missing_ok=True)
        for listening, _ in self._sockets:
            listening.close()

    def _accept(self) -> ServerDriver:
        driver = ServerDriver(self)
        self._expected.add(weakref.ref(driver, self._not_expected))
        self.emptied.clear()
        return driver

    def _not_expected(self, reference: weakref.ref[ServerTransport]) -> None:
        self._expected.discard(reference)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        if not self.connections and not self._expected:
            self.emptied.set()

    # For connections

    def joined(self, transport: ServerTransport) -> bool:
        """False if there is no room for another connection, or no time."""
        if (reference := weakref.ref(transport)) in self._expected:
            self._expected.discard(reference)
            self._on_secured()
        is_full = self._max_connections is not None and len(self.connections) >= self._max_connections
        if is_full or self._stopped.is_set() or not self._admits(transport.peer):
            self.counters["refused_connections"] += 1
            self._tell_if_empty()
            return False
        self.connections.add(transport)
        self.emptied.clear()
        self.counters["accepted"] += 1
        self.counters["connections"] += 1
        return True

    def left(self, transport: ServerTransport) -> None:
        if transport in self.connections:
            self.connections.discard(transport)
            self.counters["connections"] -= 1
            self._on_left(transport.peer)
            self._tell_if_empty()
