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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from h2grpc.counters import Counters
from h2grpc.handlers import GenericHandler, Handlers, MethodHandler
from h2grpc.limits import Limits
from h2grpc.listen import BACKLOG, listen
from h2grpc.options import limits_from, reuses_port
from h2grpc.other import OtherHandler
from h2grpc.server_driver import ServerDriver

__all__ = ["Server", "server"]

_TLS_HANDSHAKE = 10.0
_CANCELLED_WITHIN = 1.0
"""Seconds for handlers that were cancelled to notice."""


def server(
    *,
    limits: Limits | None = None,
    options: Sequence[tuple[str, Any]] = (),
    other_requests: OtherHandler | None = None,
    compression: str | None = None,
    max_connections: int | None = None,
    admits: Callable[[str], bool] | None = None,
    on_left: Callable[[str], None] | None = None,
    reuse_port: bool = False,
    clock: Callable[[], float] = monotonic,
) -> Server:
    """
    A server that listens nowhere yet.

    ``admits`` is asked about the peer of each new connection, ``on_left`` told when one that was admitted is over.
    ``options`` are grpcio's names for some of ``limits`` and for ``reuse_port``; ``other_requests`` answers what
    comes over HTTP/2 and is no gRPC; ``compression`` (gzip, deflate) is used for callers who can read it.
    """
    says = reuses_port(options)
    return Server(
        limits=limits_from(options, limits),
        other_requests=other_requests,
        compression=compression,
        max_connections=max_connections,
        admits=admits,
        on_left=on_left,
        reuse_port=reuse_port if says is None else says,
        clock=clock,
    )


class Server:
    def __init__(
        self,
        *,
        limits: Limits,
        other_requests: OtherHandler | None = None,
        compression: str | None = None,
        max_connections: int | None = None,
        admits: Callable[[str], bool] | None = None,
        on_left: Callable[[str], None] | None = None,
        reuse_port: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.limits, self.other_requests, self.compression, self.clock = limits, other_requests, compression, clock
        self.counters = Counters()
        self.handlers = Handlers()
        self._max_connections, self._reuse_port = max_connections, reuse_port
        self._admits, self._on_left = admits, on_left
        self._sockets: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._paths: list[Path] = []
        self._listeners: list[asyncio.Server] = []
        self.connections: set[ServerDriver] = set()
        self.emptied = asyncio.Event()
        """Set while there is no connection."""
        self.emptied.set()
        self._is_stopping = False
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
            timeout = None if context is None else _TLS_HANDSHAKE
            make = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
            self._listeners.append(
                await make(
                    self.protocol_factory,
                    sock=listener,
                    ssl=context,
                    backlog=BACKLOG,
                    ssl_handshake_timeout=timeout,
                )
            )

    async def stop(self, grace: float | None) -> None:
        """Returns when everything has ended; None for at once."""
        self._is_stopping = True
        for listener in self._listeners:
            listener.close()
        self._unlisten()
        for connection in list(self.connections):
            connection.drain()
        if grace:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self.emptied.wait()
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

    # For connections

    def joined(self, driver: ServerDriver) -> bool:
        """False if there is no room for another connection."""
        if self._is_stopping or (self._max_connections is not None and len(self.connections) >= self._max_connections):
            self.counters["refused_connections"] += 1
            return False
        if self._admits is not None and not self._admits(driver.peer):
            self.counters["refused_connections"] += 1
            return False
        self.connections.add(driver)
        self.emptied.clear()
        self.counters["accepted"] += 1
        self.counters["connections"] += 1
        return True

    def left(self, driver: ServerDriver) -> None:
        if driver in self.connections:
            self.connections.discard(driver)
            self.counters["connections"] -= 1
            if self._on_left is not None:
                self._on_left(driver.peer)
            if not self.connections:
                self.emptied.set()
