"""
The client: one connection to one target, made when a call needs it and made again when it is gone.

Calls wait in one queue for a connection, or for the server's limit on streams. While a connection cannot be made, calls
fail at once with UNAVAILABLE unless they wait for it to be ready, as gRPC has it. One task connects; nothing else of a
channel runs by itself. A call that the server says it did not look at is sent once more.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any

from h2grpc.backoff import Backoff
from h2grpc.channel_config import ChannelConfig
from h2grpc.client_call import ClientCall
from h2grpc.client_driver import ClientDriver
from h2grpc.client_protocol import ClientConnection
from h2grpc.compression import ALGORITHMS
from h2grpc.connect import agree, connect
from h2grpc.connectivity import Connectivity
from h2grpc.counters import Counters
from h2grpc.status import Status
from h2grpc.stubs import Stubs
from h2grpc.target import Target

__all__ = ["Channel", "Connectivity", "insecure_channel", "secure_channel"]

MOST_TRIES = 3
"""Of one call that each server it came to did not look at."""


def insecure_channel(
    target: str, *, config: ChannelConfig | None = None, compression: str | None = None, **more: Any
) -> Channel:
    """Clear text, with prior knowledge of HTTP/2."""
    return Channel(Target.parse(target), config or ChannelConfig(), compression=compression, **more)


def secure_channel(
    target: str,
    ssl_context: ssl.SSLContext,
    *,
    config: ChannelConfig | None = None,
    compression: str | None = None,
    **more: Any,
) -> Channel:
    """TLS; the context is told to offer HTTP/2 and nothing else."""
    ssl_context.set_alpn_protocols(["h2"])
    return Channel(Target.parse(target), config or ChannelConfig(), ssl_context, compression=compression, **more)


class Channel(Stubs):
    """For generated stubs. Belongs to the loop on which it was made; end it with ``close`` or ``async with``."""

    def __init__(
        self,
        target: Target,
        config: ChannelConfig,
        ssl_context: ssl.SSLContext | None = None,
        *,
        compression: str | None = None,
        authority: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        if compression is not None and compression not in ALGORITHMS:
            raise ValueError(f"the compression {compression!r} is none of {', '.join(ALGORITHMS)}")
        self.config, self.clock = config, clock
        self.compression = compression
        self.loop = asyncio.get_running_loop()
        self.counters = Counters()
        self._target, self._ssl = target, ssl_context
        self._authority = authority or target.authority
        self._server_name = authority or target.host or "localhost"
        self._backoff = Backoff(config.min_backoff, config.max_backoff, random)
        self._state = Connectivity.IDLE
        self._state_changed: asyncio.Future[None] | None = None
        self._driver: ClientDriver | None = None
        """The connection that takes new calls."""
        self._drivers: set[ClientDriver] = set()
        """That one, and those that finish what they have."""
        self._waiting: OrderedDict[ClientCall, None] = OrderedDict()
        """In the order in which they came; whoever gives up leaves it."""
        self._timers: dict[ClientCall, asyncio.TimerHandle] = {}
        self._open: set[ClientCall] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._last_error = ""

    @property
    def _caller(self) -> Channel:
        return self

    # For its owner

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> Connectivity:
        if try_to_connect and self._state is Connectivity.IDLE:
            self._connect_soon()
        return self._state

    async def wait_for_state_change(self, last: Connectivity) -> None:
        while self._state is last:
            if self._state_changed is None:
                self._state_changed = self.loop.create_future()
            await asyncio.shield(self._state_changed)

    async def channel_ready(self) -> None:
        """Connects, and tries again until it has."""
        while (state := self.get_state(try_to_connect=True)) is not Connectivity.READY:
            if state is Connectivity.SHUTDOWN:
                raise asyncio.InvalidStateError("the channel is closed")
            await self.wait_for_state_change(state)

    async def close(self, grace: float | None = None) -> None:
        """New calls fail at once, open ones after ``grace`` seconds. Nothing of the channel is left afterwards."""
        self._enter(Connectivity.SHUTDOWN)
        while self._waiting:
            self._waiting.popitem(last=False)[0].cancel("the channel is closed")
        if grace and self._open:
            waiters = [call.end_waiter() for call in self._open]
            await asyncio.wait(waiters, timeout=grace)
        senders = [call.sender for call in self._open if call.sender is not None]
        for call in list(self._open):
            call.cancel("the channel is closed")
        if self._connecting is not None:
            self._connecting.cancel()
            senders.append(self._connecting)
        for driver in list(self._drivers):
            driver.close()
        await asyncio.gather(*senders, return_exceptions=True)
        # Each is aborted by itself if it takes long.
        await asyncio.gather(*(driver.closed for driver in self._drivers))

    # For calls

    def submit(self, call: ClientCall) -> None:
        """Start it, now or as soon as there is a connection with room for it."""
        if call.status is not None:
            return  # its request was too large
        deadline = call.deadline
        if deadline is not None and deadline <= self.clock():
            call.finish(Status.DEADLINE_EXCEEDED, "the deadline has passed")
            return
        driver = self._driver
        if driver is not None and not self._waiting and driver.has_room:
            self._open.add(call)
            call.start(driver)
            return
        if self._state is Connectivity.SHUTDOWN:
            call.finish(Status.CANCELLED, "the channel is closed")
        elif self._state is Connectivity.TRANSIENT_FAILURE and not call.waits_for_ready:
            call.finish(Status.UNAVAILABLE, self._last_error)
        elif len(self._waiting) >= self.config.max_waiting:
            call.finish(Status.RESOURCE_EXHAUSTED, f"{self.config.max_waiting} calls wait already")
        else:
            self._open.add(call)
            self._wait(call)

    def retry(self, call: ClientCall, tries: int) -> bool:
        """A server did not look at the call."""
        if tries >= MOST_TRIES or self._state is Connectivity.SHUTDOWN:
            return False
        self._wait(call)
        return True

    def on_finished(self, call: ClientCall) -> None:
        self._open.discard(call)
        if self._waiting:
            self._waiting.pop(call, None)
        if (timer := self._timers.pop(call, None)) is not None:
            timer.cancel()

    # For connections

    def on_room(self) -> None:
        if self._waiting:
            self._start_waiting()

    def on_leaving(self, driver: ClientDriver) -> None:
        if driver is self._driver:
            self._driver = None
            if self._state is not Connectivity.SHUTDOWN:
                self._enter(Connectivity.IDLE)
                if self._waiting:
                    self._connect_soon()

    def on_lost(self, driver: ClientDriver) -> None:
        self._drivers.discard(driver)
        self.on_leaving(driver)

    # Private

    def _wait(self, call: ClientCall) -> None:
        self._waiting[call] = None
        if call.deadline is not None and call not in self._timers:
            delay = max(0.0, call.deadline - self.clock())
            self._timers[call] = self.loop.call_later(delay, self._expire, call)
        if self._driver is None:
            self._connect_soon()

    def _expire(self, call: ClientCall) -> None:
        """It was never sent, or came back."""
        if call.wire is None:
            details = "the deadline has passed before there was a connection"
            call.finish(Status.DEADLINE_EXCEEDED, f"{details}: {self._last_error}" if self._last_error else details)

    def _start_waiting(self) -> None:
        waiting = self._waiting
        while waiting:
            driver = self._driver
            if driver is None or not driver.has_room:
                if driver is not None and not driver.connection.can_start:
                    driver.leave()
                    self.on_leaving(driver)
                return
            call, _ = waiting.popitem(last=False)
            if (timer := self._timers.pop(call, None)) is not None:
                timer.cancel()
            if call.status is None:
                call.start(driver)

    def _connect_soon(self) -> None:
        if self._connecting is None and self._state is not Connectivity.SHUTDOWN:
            self._connecting = self.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._try_to_connect()
        finally:
            self._connecting = None

    async def _try_to_connect(self) -> None:
        """Until there is a connection, or nobody wants one any more."""
        while True:
            self._enter(Connectivity.CONNECTING)
            try:
                async with asyncio.timeout(self.config.connect_timeout):
                    driver = await self._open_connection()
            except (OSError, TimeoutError) as error:
                self._last_error = f"no connection: {error or type(error).__name__}"
            else:
                self._backoff.reset()
                self._last_error = ""
                self._driver = driver
                self._enter(Connectivity.READY)
                self._start_waiting()
                return
            self._enter(Connectivity.TRANSIENT_FAILURE)
            for call in list(self._waiting):
                if not call.waits_for_ready:
                    call.finish(Status.UNAVAILABLE, self._last_error)
            await asyncio.sleep(self._backoff.delay())
            if not self._waiting and self._state_changed is None:
                self._enter(Connectivity.IDLE)
                return

    async def _open_connection(self) -> ClientDriver:
        connection = ClientConnection(
            self.config.limits,
            self.counters,
            self.clock(),
            authority=self._authority,
            scheme="http" if self._ssl is None else "https",
            user_agent=self.config.user_agent,
        )
        driver = ClientDriver(connection, self, self.loop, self.clock)
        transport = await connect(driver, self._target, self._ssl, self._server_name)
        self._drivers.add(driver)
        await agree(driver, transport)
        return driver

    def _enter(self, state: Connectivity) -> None:
        if state is self._state or self._state is Connectivity.SHUTDOWN:
            return
        self._state = state
        changed, self._state_changed = self._state_changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)
