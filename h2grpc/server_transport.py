"""
One connection of a server on asyncio: bytes between the transport and ``ServerConnection``, and when.

Everything that happens in one turn of the loop leaves in one write, but for what is known to be alone, which leaves at
once, and for many answers, which leave in parts. There is one timer, for whatever the connection waits for next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, cast

from h2grpc.context import ServicerContext
from h2grpc.counters import Counters
from h2grpc.events import Event
from h2grpc.handlers import Handlers
from h2grpc.limits import Limits
from h2grpc.other import OtherHandler, OtherRefusal
from h2grpc.peer import auth_context, peer_name
from h2grpc.server_protocol import ServerConnection

__all__ = ["Home", "ServerTransport"]

_FLUSHES: Final = 16
"""Chunks written before the loop gets a turn, however much the transport takes."""


class Home(Protocol):
    """What connections share: their server."""

    limits: Limits
    counters: Counters
    handlers: Handlers
    clock: Callable[[], float]
    other_requests: OtherHandler | None
    refuse_other: OtherRefusal
    compression: str | None
    is_stopping: bool

    def joined(self, transport: ServerTransport) -> bool: ...

    def left(self, transport: ServerTransport) -> None: ...


class ServerTransport(asyncio.Protocol):
    """What events mean is not known here."""

    __slots__ = (
        "__weakref__",
        "_blocked",
        "_home",
        "_is_flushing",
        "_is_paused",
        "_loop",
        "_most_sent",
        "_timer",
        "_timer_at",
        "_transport",
        "_unsent",
        "auth_context",
        "clock",
        "connection",
        "contexts",
        "counters",
        "limits",
        "peer",
    )

    def __init__(self, home: Home) -> None:
        self._home = home
        self.limits, self.counters, self.clock = home.limits, home.counters, home.clock
        most = home.limits.max_send_message
        self._most_sent = float("inf") if most is None else most
        """Bytes of one message."""
        self.peer = ""
        self.auth_context: Mapping[str, Sequence[bytes]] = {}
        self.contexts: set[ServicerContext] = set()
        """Of handlers that are running, those of calls that are lost included."""
        self._blocked: list[ServicerContext] = []
        self._transport: asyncio.Transport | None = None
        self.connection: ServerConnection
        self._loop: asyncio.AbstractEventLoop
        self._is_flushing = self._is_paused = False
        self._unsent = 0
        """Answers since something was written, but for the first, while a flush is due."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def _handle(self, events: list[Event]) -> None:
        raise NotImplementedError

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        home, now = self._home, self.clock()
        self._transport = writable = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self.peer, self.auth_context = peer_name(transport), auth_context(transport)
        has_room = home.joined(self)
        self.connection = ServerConnection(
            self.limits, self.counters, now, serves_others=home.other_requests is not None, begin=ServicerContext
        )
        if home.is_stopping:  # it was in its handshake when that began
            if has_room:
                self.connection.drain(now)
            else:
                self.connection.close(0, "the server is shutting down")
        elif not has_room:
            writable.abort()
            return
        self._set_timer()
        self.flush_soon()

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        connection.receive(data, self.clock())
        if events := connection.events():
            self._handle(events)
        if self._blocked or not connection.is_quiet(self._timer_at):
            if self._blocked or connection.wants_flush:
                self.flush_soon()
            if connection.next_wake < self._timer_at:
                self._set_timer()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self.connection.lost()
        self._handle(self.connection.events())
        self._home.left(self)

    # For the server

    def drain(self) -> None:
        self.connection.drain(self.clock())
        self.flush_soon()
        self._set_timer()

    def leave(self) -> None:
        """End every call with UNAVAILABLE and close."""
        self.connection.leave("the server is shutting down")
        self._handle(self.connection.events())
        self._flush()

    def abort(self) -> None:
        """Close without another word."""
        if self._transport is not None:
            self._transport.abort()

    # Bytes and time out

    def flush_soon(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def flush_now(self) -> None:
        """
        Write in this turn of the loop, for whoever has one message and knows of no other.

        Never tells what happened meanwhile: its caller may be in the middle of being told something.
        """
        transport, connection = self._transport, self.connection
        if self._is_flushing or self._is_paused or transport is None:
            self.flush_soon()
            return
        data = connection.data_to_send()
        if data:
            transport.write(data)
        if len(data) >= self.limits.write_chunk or connection.has_rest or self._blocked:
            self.flush_soon()

    def flush_part(self) -> None:
        """
        Write some of what is to be written when this turn of the loop ends: where many calls are answered in one turn,
        the caller reads the first half while the other is made, instead of waiting for us as we then wait for him.
        """
        self._unsent = 0
        if self._transport is not None and not self._is_paused and (data := self.connection.data_to_send()):
            self._transport.write(data)

    def _flush(self) -> None:
        self._is_flushing = False
        self._unsent = 0
        transport, connection = self._transport, self.connection
        if transport is None:
            return
        for _ in range(_FLUSHES):
            if self._is_paused:
                break
            data = connection.data_to_send()
            if not data:
                break
            transport.write(data)
            if len(data) < self.limits.write_chunk and not connection.has_more:
                break
        else:
            self.flush_soon()
        if events := connection.events():
            self._handle(events)
        if self._blocked:
            self._unblock()
        if connection.is_ended and not transport.is_closing():
            transport.close()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(self.limits.linger, transport.abort)

    async def wait_until_writable(self, context: ServicerContext) -> None:
        while not context.done() and not self.connection.may_write(context):
            context.unblocked = self._loop.create_future()
            self._blocked.append(context)
            try:
                await context.unblocked
            finally:
                context.unblocked = None

    def _unblock(self) -> None:
        blocked, self._blocked = self._blocked, []
        for context in blocked:
            waiter = context.unblocked
            if waiter is None or waiter.done():
                continue
            if context.done() or self.connection.may_write(context):
                waiter.set_result(None)
            else:
                self._blocked.append(context)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now, at = self.clock(), self.connection.next_wake
        self._timer_at = at
        if at == float("inf"):
            self._timer = None
        else:
            self._timer = self._loop.call_later(max(0.0, at - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self.connection.tick(self.clock())
        self._handle(self.connection.events())
        self.flush_soon()
        if self._transport is not None and not self.connection.is_ended:
            self._set_timer()
