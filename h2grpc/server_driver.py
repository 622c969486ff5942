"""
A server's connection as its handlers know it: a task for each call, and what becomes of events.

A unary call costs one task, no timer and no future of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from h2grpc import metadata
from h2grpc.call import Call
from h2grpc.call_state import DONE, IDLE, OPEN, RESET
from h2grpc.context import MORE_MESSAGES, NO_MESSAGE, AbortError, ServicerContext
from h2grpc.errors import WireError
from h2grpc.events import CallLost, ConnectionEnded, Event, HalfClosed, Message, OtherArrived, OtherLost
from h2grpc.other import OtherAnswer, OtherRequest
from h2grpc.run_call import run, run_other, run_unary
from h2grpc.server_call import ServerCall
from h2grpc.server_protocol import OK
from h2grpc.server_transport import Home, ServerTransport
from h2grpc.status import Status

__all__ = ["ServerDriver"]


class ServerDriver(ServerTransport):
    __slots__ = ("_others",)

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._others: set[asyncio.Task[None]] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for task in self._others or ():
            task.cancel()

    # For contexts

    def send_headers(self, context: ServicerContext, initial: Iterable[tuple[str, str | bytes]] = ()) -> None:
        self.connection.send_headers(context.call, metadata.encode(initial))
        context.is_plain = False
        self.flush_soon()

    def send_message(self, context: ServicerContext, data: bytes) -> None:
        limit = self.limits.max_send_message
        if limit is not None and len(data) > limit:
            details = f"a message of {len(data)} bytes; the limit is {limit}"
            self.finish(context, Status.RESOURCE_EXHAUSTED, details)
            raise AbortError(details)
        if context.call.sending is IDLE:
            self.connection.send_headers(context.call)
            context.is_plain = False
        self.connection.send_message(context.call, data)
        self.flush_soon()

    def send_now(self, context: ServicerContext, data: bytes) -> bool:
        """Send one message unless that takes waiting or is not allowed; it leaves in this turn of the loop."""
        call, connection, limit = context.call, self.connection, self.limits.max_send_message
        if (limit is not None and len(data) > limit) or not connection.may_write(call):
            return False
        if call.sending is IDLE:
            connection.send_headers(call)
            context.is_plain = False
        elif call.sending is not OPEN:  # lost, and about to be told
            return False
        connection.send_message(call, data)
        self.flush_now()
        return True

    def choose_compression(self, context: ServicerContext, algorithm: str) -> None:
        self.connection.choose_compression(context.call, algorithm)
        context.is_plain = False

    def may_write(self, call: Call) -> bool:
        return self.connection.may_write(call)

    def consumed(self, call: Call, size: int) -> None:
        self.connection.consumed(call, size)
        self.flush_soon()

    def finish(self, context: ServicerContext, status: Status, details: str = "") -> None:
        """Send the status, unless the call is over already, or lost and about to be told."""
        if context.done() or context.call.sending in (DONE, RESET):
            return
        try:
            trailers = context.trailers()
        except WireError as error:
            status, details, trailers = Status.INTERNAL, str(error), ()
        self.connection.send_status(context.call, status, details, trailers)
        context.end(is_cancelled=False)
        self.flush_soon()

    def answer(self, context: ServicerContext, data: bytes) -> None:
        """The reply of a method that takes one message and gives one."""
        if context.is_plain and len(data) <= self._most_sent:
            call, connection, headers = context.call, self.connection, context.trailing_headers
            if headers is None and (trailing := context.trailing):
                headers = metadata.encode(trailing)
            connection.send_answer(call, data, [*OK, *headers] if headers else OK)
            # What ``ServicerContext.end`` does, as far as such a call has it.
            context.is_over, context.is_plain, call.owner = True, False, None
            if context.callbacks is not None:
                context.tell()
            if not connection.calls:
                self.flush_now()  # nobody else is about to answer
            elif not self._is_flushing:
                self.flush_soon()
            return
        if context.is_over:
            return
        if context.code() is Status.OK:
            self.send_message(context, data)
        self.finish(context, context.code(), context.details())

    def call_back(self, callback: Callable[[Any], None], context: ServicerContext) -> None:
        self._loop.call_soon(callback, context)

    # Events

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is ServerCall:
                self._on_started(event)  # type: ignore[arg-type]
            elif kind is Message:
                self._on_message(event.call.owner, event)  # type: ignore[union-attr,arg-type]
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

    def _on_started(self, call: ServerCall) -> None:
        if call.sending is not IDLE:
            return  # lost in the same turn
        counters, home, path = self.counters, self._home, call.opening.path
        counters["started"] += 1
        method = home.handlers.at_once.get(path) or home.handlers.find(path, call.opening.metadata)
        if method is None:
            details = f"the method {path.decode('latin-1')} is not known"
            self.connection.send_status(call, Status.UNIMPLEMENTED, details)
            return
        if len(self.contexts) >= self.limits.max_streams:  # handlers of lost calls count too
            counters["refused"] += 1
            self.connection.send_status(call, Status.UNAVAILABLE, "too many calls of one connection")
            return
        call.owner = context = ServicerContext(self, call, method)
        if home.compression is not None:
            self.choose_compression(context, home.compression)
        message = call.message
        if method.is_unary:
            if message is not None:
                self.contexts.add(context)
                context.task = self._loop.create_task(run_unary(self, context, message))
            return
        if method.request_streaming:
            call.is_stream = True
            context.open_inbox()
            self._start(context)
        if message is not None:
            self._on_message(context, Message(call, message, is_last=True))

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
            self.finish(context, Status.UNIMPLEMENTED, MORE_MESSAGES)

    def _on_half_closed(self, context: ServicerContext | None) -> None:
        if context is None or context.done():
            return
        if context.method.request_streaming:
            context.half_close()
        elif context.request is not None:
            self._start(context)
        else:
            self.finish(context, Status.UNIMPLEMENTED, NO_MESSAGE)

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
            context.task = self._loop.create_task(run_unary(self, context, context.request))

    def _on_other(self, request: OtherRequest) -> None:
        handler = self._home.other_requests
        if handler is None:
            return
        request.peer, request.auth_context = self.peer, self.auth_context
        if request.refusal:
            self.connection.send_other(request, self._home.refuse_other(request))
            return
        request.owner = task = self._loop.create_task(run_other(self, handler, request))
        if self._others is None:
            self._others = set()
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    def answer_other(self, request: OtherRequest, answer: OtherAnswer) -> None:
        if not self.connection.is_ended:
            self.connection.send_other(request, answer)
            self.flush_soon()
