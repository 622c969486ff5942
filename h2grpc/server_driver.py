"""
A server's connection as its handlers know it: a task for each call, and what becomes of events.

A unary call costs one task, no timer and no future of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from h2grpc import metadata
from h2grpc.answering import OK
from h2grpc.call import Call
from h2grpc.call_state import DONE, IDLE, OPEN, RESET
from h2grpc.context import MORE_MESSAGES, NO_MESSAGE, AbortError, ServicerContext
from h2grpc.errors import WireError
from h2grpc.events import CallLost, ConnectionEnded, Event, HalfClosed, Message, OtherArrived, OtherLost
from h2grpc.handlers import Method
from h2grpc.other import OtherAnswer, OtherRequest
from h2grpc.run_call import run, run_other, run_unary
from h2grpc.server_transport import Home, ServerTransport
from h2grpc.status import Status

__all__ = ["ServerDriver"]

_PART: Final = 8
"""Answers that are worth a write of their own before the turn ends: a write costs about as much as two of them."""


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
        self.connection.send_headers(context, metadata.encode(initial))
        context.is_plain = False
        self.flush_soon()

    def send_message(self, context: ServicerContext, data: bytes) -> None:
        limit = self.limits.max_send_message
        if limit is not None and len(data) > limit:
            details = f"a message of {len(data)} bytes; the limit is {limit}"
            self.finish(context, Status.RESOURCE_EXHAUSTED, details)
            raise AbortError(details)
        if context.sending is IDLE:
            self.connection.send_headers(context)
            context.is_plain = False
        self.connection.send_message(context, data)
        self.flush_soon()

    def send_now(self, context: ServicerContext, data: bytes) -> bool:
        """Send one message unless that takes waiting or is not allowed; it leaves in this turn of the loop."""
        connection, limit = self.connection, self.limits.max_send_message
        if (limit is not None and len(data) > limit) or not connection.may_write(context):
            return False
        if context.sending is IDLE:
            connection.send_headers(context)
            context.is_plain = False
        elif context.sending is not OPEN:  # lost, and about to be told
            return False
        connection.send_message(context, data)
        self.flush_now()
        return True

    def choose_compression(self, context: ServicerContext, algorithm: str) -> None:
        self.connection.choose_compression(context, algorithm)
        context.is_plain = False

    def may_write(self, call: Call) -> bool:
        return self.connection.may_write(call)

    def consumed(self, call: Call, size: int) -> None:
        self.connection.consumed(call, size)
        self.flush_soon()

    def finish(self, context: ServicerContext, status: Status, details: str = "") -> None:
        """Send the status, unless the call is over already, or lost and about to be told."""
        if context.done() or context.sending in (DONE, RESET):
            return
        try:
            trailers = context.trailers()
        except WireError as error:
            status, details, trailers = Status.INTERNAL, str(error), ()
        self.connection.send_status(context, status, details, trailers)
        context.end(is_cancelled=False)
        self.flush_soon()

    def answer(self, context: ServicerContext, data: bytes) -> None:
        """The reply of a method that takes one message and gives one."""
        if context.is_plain and len(data) <= self._most_sent:
            connection, headers = self.connection, context.trailing_headers
            if headers is None and (trailing := context.trailing):
                headers = metadata.encode(trailing)
            connection.send_answer(context, data, [*OK, *headers] if headers else OK)
            # What ``ServicerContext.end`` does, as far as such a call has it.
            context.is_over, context.is_plain = True, False
            if context.callbacks is not None:
                context.tell()
            if not connection.calls:
                self.flush_now()  # nobody else is about to answer
            elif not self._is_flushing:
                self.flush_soon()
            else:
                self._unsent = unsent = self._unsent + 1
                if unsent >= _PART and unsent >= len(connection.calls):
                    self.flush_part()
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
            if kind is ServicerContext:
                self._on_started(event)  # type: ignore[arg-type]
            elif kind is Message:
                self._on_message(event.call, event)  # type: ignore[union-attr,arg-type]
            elif kind is HalfClosed:
                self._on_half_closed(event.call)  # type: ignore[union-attr,arg-type]
            elif kind is CallLost:
                self._on_lost(event.call)  # type: ignore[union-attr,arg-type]
            elif kind is OtherArrived:
                self._on_other(event.request)  # type: ignore[union-attr]
            elif kind is OtherLost:
                if event.request.owner is not None:  # type: ignore[union-attr]
                    event.request.owner.cancel()  # type: ignore[union-attr]
            elif kind is ConnectionEnded:
                self.flush_soon()

    def _on_started(self, context: ServicerContext) -> None:
        if context.sending is not IDLE:
            return  # lost in the same turn
        home, opening, contexts = self._home, context.opening, self.contexts
        self.counters["started"] += 1
        method = home.handlers.at_once.get(opening.path) or home.handlers.find(opening.path, opening.metadata)
        if method is None or len(contexts) >= self.limits.max_streams:  # handlers of lost calls count too
            self._turn_away(context, method)
            return
        context.driver, context.method, context.is_over = self, method, False
        if home.compression is not None:
            self.choose_compression(context, home.compression)
        message = context.message
        if method.is_unary:
            if message is not None:
                contexts.add(context)
                context.task = self._loop.create_task(run_unary(self, context, message))
            return
        if method.request_streaming:
            context.is_stream = True
            context.open_inbox()
            self._start(context)
        if message is not None:
            self._on_message(context, Message(context, message, is_last=True))

    def _turn_away(self, context: ServicerContext, method: Method | None) -> None:
        if method is None:
            path = context.path.decode("latin-1")
            self.connection.send_status(context, Status.UNIMPLEMENTED, f"the method {path} is not known")
        else:
            self.counters["refused"] += 1
            self.connection.send_status(context, Status.UNAVAILABLE, "too many calls of one connection")

    def _on_message(self, context: ServicerContext, event: Message) -> None:
        if context.is_over:
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
                self.connection.consumed(context, len(event.data))
        else:
            self.finish(context, Status.UNIMPLEMENTED, MORE_MESSAGES)

    def _on_half_closed(self, context: ServicerContext) -> None:
        if context.is_over:
            return
        if context.method.request_streaming:
            context.half_close()
        elif context.request is not None:
            self._start(context)
        else:
            self.finish(context, Status.UNIMPLEMENTED, NO_MESSAGE)

    def _on_lost(self, context: ServicerContext) -> None:
        if context.is_over:
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
