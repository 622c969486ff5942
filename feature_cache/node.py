"""
One server of the store: its connections, kept alive, and its circuit.

Connections come back by themselves, with pauses that grow. All of them, the tracker's too, lead to the same server:
when the master turns out to be another one, those to the old are closed, so that no row is read where no change is
told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from feature_cache.address import Address
from feature_cache.backoff import Backoff
from feature_cache.circuit import Circuit
from feature_cache.connection import Connection
from feature_cache.counters import Counters
from feature_cache.credentials import Credential
from feature_cache.dial import Dialer
from feature_cache.errors import StoreRefused, Unavailable
from feature_cache.resp import Push
from feature_cache.settings import StoreSettings
from feature_cache.watch import watch

__all__ = ["Node"]

log = structlog.get_logger()


class Node:
    """``run`` keeps the connections until it is cancelled; ``name`` is for the log."""

    def __init__(
        self,
        name: str,
        *,
        resolve: Callable[[], Awaitable[Address]],
        dialer: Dialer,
        settings: StoreSettings,
        counters: Counters,
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self._resolve = resolve
        self.dialer = dialer
        self._settings = settings
        self._counters = counters
        self._random = random
        self._address: Address | None = None
        self._open: set[Connection] = set()
        self._connections: list[Connection] = []
        self._opened = asyncio.Event()
        self.connected = asyncio.Event()
        self.last_error = "not connected yet"
        circuit = settings.circuit
        self.circuit = Circuit(circuit.failures, circuit.open_ms / 1000, circuit.max_open_ms / 1000)

    @property
    def is_up(self) -> bool:
        """Whether it can be asked now."""
        return bool(self._connections) and self.circuit.is_closed

    def pick(self) -> Connection | None:
        """The connection with the fewest rounds under way."""
        best: Connection | None = None
        for connection in self._connections:
            if connection.is_open and (best is None or connection.waiting < best.waiting):
                best = connection
        return best

    def failed(self) -> None:
        """A round trip failed or was late."""
        if self.circuit.failed(self.dialer.clock()):
            self._counters.circuit_opened += 1
            self._opened.set()
            log.warning("features.circuit_opened", server=self.name)

    def move(self, address: Address) -> None:
        """The server is this one now: connections to another are closed, and made anew."""
        if address != self._address:
            self._address = address
            for connection in tuple(self._open):
                connection.close()

    async def dial(
        self, on_push: Callable[[Push], None] | None, on_lost: Callable[[], None]
    ) -> tuple[Connection, Credential]:
        """A connection to the server that counts now. Raises ``Unavailable`` or ``StoreRefused``."""
        address = await self._resolve()
        self.move(address)
        made: list[Connection] = []

        def lost() -> None:
            self._open.difference_update(made)
            on_lost()

        connection, credential = await self.dialer.dial(address, on_push, lost)
        made.append(connection)
        if not connection.is_open:
            raise Unavailable("the connection was lost")
        self._open.add(connection)
        if address != self._address:  # it moved while we connected
            connection.close()
            raise Unavailable("the master has changed")
        return connection, credential

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._settings.connections):
                tasks.create_task(self._keep())
            tasks.create_task(self._probe())

    async def _keep(self) -> NoReturn:
        settings = self._settings
        backoff = Backoff(settings.min_backoff_ms / 1000, settings.max_backoff_ms / 1000, self._random)
        while True:
            lost = asyncio.Event()
            try:
                connection, credential = await self.dial(None, lost.set)
            except (Unavailable, StoreRefused) as error:
                self._tell(str(error))
                await asyncio.sleep(backoff.delay())
                continue
            backoff.reset()
            self._counters.connects += 1
            try:
                if not self.circuit.is_closed:
                    await self._ask(connection)
                self._connections.append(connection)
                self.connected.set()
                self.last_error = ""
                await watch(
                    connection,
                    lost,
                    credential=credential,
                    credentials=self.dialer.credentials,
                    ping=settings.ping_ms / 1000,
                    clock=self.dialer.clock,
                )
            finally:
                connection.close()
                if connection in self._connections:
                    self._connections.remove(connection)
                if not self._connections:
                    self.connected.clear()
            self._tell("the connection was lost")

    def _tell(self, error: str) -> None:
        """Log the first failure of an outage, not each of them."""
        self._counters.connection_failures += 1
        if error != self.last_error and not self._connections:
            self.last_error = error
            log.warning("features.not_connected", server=self.name, error=error)

    async def _probe(self) -> NoReturn:
        while True:
            await self._opened.wait()
            self._opened.clear()
            while not self.circuit.is_closed:
                await asyncio.sleep(max(0.0, self.circuit.open_until - self.dialer.clock()))
                if not self.circuit.is_closed:
                    await self._ask(self.pick())

    async def _ask(self, connection: Connection | None) -> None:
        """One PING, within the time that a read has: it closes the circuit, or opens it for longer."""
        self.circuit.try_probe()
        try:
            if connection is None:
                raise Unavailable("not connected")
            await connection.ask("PING", timeout=self._settings.timeout_ms / 1000)
        except (Unavailable, StoreRefused):
            self.circuit.probe_failed(self.dialer.clock())
            self._opened.set()
            return
        self.circuit.probe_answered()
        log.info("features.circuit_closed", server=self.name)
