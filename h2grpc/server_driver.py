"""
One connection of a server on asyncio: bytes between the transport and ``ServerConnection``, and a task for each call.

Everything that happens in one turn of the loop leaves in one write. A unary call costs one task, no timer and no future
of its own. There is one timer, for whatever the connection waits for next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from h2grpc import metadata
from h2grpc.call import Call
from h2grpc.call_state import State
from h2grpc.context import AbortError, ServicerContext
from h2grpc.counters import Counters
from h2grpc.errors import WireError
from h2grpc.events import (
    CallLost,
    CallStarted,
    ConnectionEnded,
    Event,
    HalfClosed,
    Message,
    OtherArrived,
    OtherLost,
)
from h2grpc.handlers import Handlers
from h2grpc.limits import Limits
from h2grpc.other import OtherAnswer, OtherHandler, OtherRequest
from h2grpc.peer import auth_context, peer_name
from h2grpc.run_call import run, run_unary
from h2grpc.server_protocol import ServerConnection
from h2grpc.status import Status

__all__ = ["ServerDriver"]

_log = logging.getLogger("h2grpc")

_FLUSHES: Final = 16
"""Chunks written before the loop gets a turn, however much the transport takes."""


class Home(Protocol):
    """What connections share: their server."""

    limits: Limits
    counters: Counters
    handlers: Handlers
    clock: Callable[[], float]
    other_requests: OtherHandler | None
    compression: str | None

    def joined(self, driver: ServerDriver) -> bool: ...

    def left(self, driver: ServerDriver) -> None: ...


class ServerDriver(asyncio.Protocol):
    def __init__(self, home: Home) -> None:
        self._home = home
        self.limits, self.counters, self.clock = home.limits, home.counters, home.clock
        self.peer = ""
        self.auth_context: Mapping[str, Sequence[bytes]] = {}
        self.contexts: set[ServicerContext] = set()
        """Of handlers that are running, those of calls that are lost included."""
        self._others: set[asyncio.Task[None]] = set()
        self._blocked: list[ServicerContext] = []
        self._transport: asyncio.Transport | None = None
        self.connection: ServerConnection
        self._loop: asyncio.AbstractEventLoop
        self._is_flushing = self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = writable = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self.peer, self.auth_context = peer_name(transport), auth_context(transport)
        self.connection = ServerConnection(
            self.limits, self.counters, self.clock(), serves_others=self._home.other_requests is not None
        )
        if not self._home.joined(self):
            writable.abort()
            return
        self._set_timer()
        self.flush_soon()

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        connection.receive(data, self.clock())
        self._handle(connection.events())
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
        for task in self._others:
            task.cancel()
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

    # For contexts

    def send_headers(self, context: ServicerContext, initial: Iterable[tuple[str, str | bytes]] = ()) -> None:
        self.connection.send_headers(context.call, metadata.encode(initial))
        self.flush_soon()

    def send_message(self, context: ServicerContext, data: bytes) -> None:
        limit = self.limits.max_send_message
        if limit is not None and len(data) > limit:
            details = f"a message of {len(data)} bytes; the limit is {limit}"
            self.finish(context, Status.RESOURCE_EXHAUSTED, details)
            raise AbortError(details)
        if context.call.sending is State.IDLE:
            self.connection.send_headers(context.call)
        self.connection.send_message(context.call, data)
        self.flush_soon()

    def choose_compression(self, context: ServicerContext, algorithm: str) -> None:
        self.connection.choose_compression(context.call, algorithm)

    def may_write(self, call: Call) -> bool:
        return self.connection.may_write(call)

    async def wait_until_writable(self, context: ServicerContext) -> None:
        while not context.done() and not self.connection.may_write(context.call):
            context.unblocked = self._loop.create_future()
            self._blocked.append(context)
            try:
                await context.unblocked
            finally:
                context.unblocked = None

    def consumed(self, call: Call, size: int) -> None:
        self.connection.consumed(call, size)
        self.flush_soon()

    def finish(self, context: ServicerContext, status: Status, details: str = "") -> None:
        """Send the status, unless the call is over already."""
        if context.done():
            return
        try:
            trailers = context.trailers()
        except WireError as error:
            status, details, trailers = Status.INTERNAL, str(error), ()
        self.connection.send_status(context.call, status, details, trailers)
        context.end(is_cancelled=False)
        self.flush_soon()

    def call_back(self, callback: Callable[[Any], None], context: ServicerContext) -> None:
        self._loop.call_soon(callback, context)

    # Events

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is Message:
                self._on_message(event.call.owner, event)  # type: ignore[union-attr,arg-type]
            elif kind is CallStarted:
                self._on_started(event.call)  # type: ignore[union-attr]
            elif kind is HalfClosed:
                self._on_half_closed(event.call.owner)  # type: ignore[union-attr]
            elif kind is CallLost:
                self._on_lost(event.call.owner)  # type: ignore[union-attr]
            elif kind is OtherArrived:
                self._on_other(event.request)  # type: ignore[union-attr]
            elif kind is OtherLost:
                if event.request.owner is not None:  # type: ignore[union-attr]
                    event.request.owner.cancel()  # type: ignore[union-attr]
            elif kind is ConnectionEnded:
                self.flush_soon()

    def _on_started(self, call: Call) -> None:
        if call.sending is State.DONE or call.sending is State.RESET:
            return  # lost in the same turn
        counters = self.counters
        counters["started"] += 1
        try:
            pairs = metadata.decode(call.headers, self.limits.max_metadata)
        except WireError as error:
            self.connection.send_status(call, error.status, str(error))
            return
        method = self._home.handlers.find(call.path, pairs)
        if method is None:
            path = call.path.decode("latin-1")
            self.connection.send_status(call, Status.UNIMPLEMENTED, f"the method {path} is not known")
            return
        call.owner = context = ServicerContext(self, call, method, pairs)
        if len(self.contexts) >= self.limits.max_streams:  # handlers of lost calls count too
            counters["refused"] += 1
            self.finish(context, Status.UNAVAILABLE, "too many calls of one connection")
            return
        if self._home.compression is not None:
            self.connection.choose_compression(call, self._home.compression)
        if method.request_streaming:
            self._start(context)

    def _on_message(self, context: ServicerContext | None, event: Message) -> None:
        if context is None or context.done():
            return
        if context.method.request_streaming:
            context.deliver(event.data)
            if event.is_last:
                context.half_close()
        elif context.request is None:
            context.request = event.data
            if event.is_last:
                self._start(context)
            else:
                self.connection.consumed(context.call, len(event.data))
        else:
            self.finish(context, Status.UNIMPLEMENTED, "more than one message for a method that takes one")

    def _on_half_closed(self, context: ServicerContext | None) -> None:
        if context is None or context.done():
            return
        if context.method.request_streaming:
            context.half_close()
        elif context.request is not None:
            self._start(context)
        else:
            self.finish(context, Status.UNIMPLEMENTED, "no message for a method that takes one")

    def _on_lost(self, context: ServicerContext | None) -> None:
        if context is None:
            return
        context.end(is_cancelled=True)
        if (task := context.task) is not None:
            # One that is cancelled before its first step never gets to its own ``finally``.
            task.add_done_callback(lambda _: self.contexts.discard(context))
            task.cancel()

    # Handlers

    def _start(self, context: ServicerContext) -> None:
        method = context.method
        self.contexts.add(context)
        if not method.is_unary:
            context.task = task = self._loop.create_task(run(self, context))
            task.add_done_callback(lambda _: self.contexts.discard(context))
        else:
            context.task = self._loop.create_task(run_unary(self, context))

    def _on_other(self, request: OtherRequest) -> None:
        handler = self._home.other_requests
        if handler is None:
            return
        request.peer = self.peer
        request.owner = task = self._loop.create_task(self._serve_other(handler, request))
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _serve_other(self, handler: OtherHandler, request: OtherRequest) -> None:
        try:
            answer = await handler(request)
        except Exception:  # noqa: BLE001  # the same fence
            _log.exception("h2grpc.other_crashed")
            answer = OtherAnswer(500)
        if not self.connection.is_ended:
            self.connection.send_other(request, answer)
            self.flush_soon()

    # Bytes and time out

    def flush_soon(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
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

    def _unblock(self) -> None:
        blocked, self._blocked = self._blocked, []
        for context in blocked:
            waiter = context.unblocked
            if waiter is None or waiter.done():
                continue
            if context.done() or self.connection.may_write(context.call):
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
