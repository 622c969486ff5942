"""
The server's end of a connection, without I/O: which requests are calls, and what becomes of them.

A request is a call if its content type says gRPC; the others are ``other_protocol``'s. A missing ``te: trailers`` is
let pass, as gRPC's Go and Java servers do: it tells of a proxy in between, not of the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ngh2

from h2grpc.answering import GRPC, AnsweringConnection
from h2grpc.bucket import Bucket
from h2grpc.call import Call
from h2grpc.call_state import DONE, RESET
from h2grpc.counters import Counters
from h2grpc.errors import WireError
from h2grpc.events import CallLost, HalfClosed, Message
from h2grpc.framing import HEAD, head_of
from h2grpc.limits import Limits
from h2grpc.opening import NONE, Opening
from h2grpc.other import OtherAnswer
from h2grpc.server_call import ServerCall
from h2grpc.status import Status

__all__ = ["ServerConnection"]

_RequestReceived, _DataReceived, _StreamClosed = ngh2.RequestReceived, ngh2.DataReceived, ngh2.StreamClosed
"""For what runs for each call."""


class ServerConnection(AnsweringConnection):
    """``begin`` makes the calls, of the class that the driver wants."""

    __slots__ = ("_begin", "_opening", "_resets")

    def __init__(
        self,
        limits: Limits,
        counters: Counters,
        now: float,
        *,
        serves_others: bool = False,
        begin: Callable[[], ServerCall] = ServerCall,
    ) -> None:
        super().__init__(limits, counters, now, serves_others=serves_others)
        self._begin = begin
        self._opening = NONE
        """What the last call said that was one."""
        self._resets: Bucket | None = None
        """There from the first reset on."""

    # Bytes in

    def receive(self, data: bytes, now: float) -> None:
        if self._is_ended:
            return
        self._now = self._heard = now
        engine = self._engine
        try:
            engine.receive_data(data)
        except ngh2.NGH2Error as error:
            self._broken(error)
            return
        self._dispatch(engine.events())

    # What the engine tells

    def _dispatch(self, events: list[Any]) -> None:
        """As its base does it; what every unary call consists of is seen to here, without a look for who does it."""
        calls, opening = self.calls, self._opening
        for event in events:
            kind = type(event)
            if kind is _RequestReceived:
                self._newest = stream_id = event.stream_id
                if event.headers != opening.headers:
                    known = opening.followed_by(event.headers, self.limits.max_metadata) or self._read(event)
                    if known is None:
                        continue
                    self._opening = opening = known
                if len(calls) >= self.limits.max_streams:
                    self._refuse_stream(stream_id)
                    continue
                calls[stream_id] = begun = self._begin()
                begun.stream_id, begun.opening = stream_id, opening
                if opening.timeout is not None:
                    begun.deadline = at = self._now + opening.timeout
                    self.deadlines.add(stream_id, at)
                self._events.append(begun)
                if event.end_stream:
                    begun.receiving = DONE
                    self._events.append(HalfClosed(begun))
                continue
            if kind is _DataReceived and event.end_stream:
                stream_id, data = event.stream_id, event.data
                size = len(data) - HEAD
                if (
                    (call := calls.get(stream_id)) is not None
                    and call.reader is None
                    and 0 <= size <= self._longest
                    and head_of(data) == (0, size)
                ):
                    # All of a request in one piece and not compressed, as nearly every unary one is.
                    try:  # noqa: SIM105  # costs nothing where it succeeds
                        self._engine.acknowledge_received_data(size + HEAD, stream_id)
                    except ngh2.NGH2Error:
                        pass  # the stream or the connection has ended meanwhile, and its window with it
                    call.receiving = DONE
                    if stream_id > self._told:
                        call.message = data[HEAD:]
                    else:
                        self._events.append(Message(call, data[HEAD:], is_last=True))
                    continue
            elif kind is _StreamClosed and event.stream_id not in calls and not self._others:
                continue  # nobody waits for anything any more
            self._on[kind](self, event)
            if self._is_ended:
                return

    def _read(self, event: ngh2.RequestReceived) -> Opening | None:
        """What all the headers say. None if they begin no call: then they are answered already."""
        headers, stream_id = event.headers, event.stream_id
        fields = dict(headers)
        content_type = fields.get(b"content-type", b"")
        if content_type != GRPC and content_type[:17] not in (b"application/grpc+", b"application/grpc;"):
            self._on_other(event, fields, headers)
        elif len(self.calls) >= self.limits.max_streams:
            self._refuse_stream(stream_id)
        elif fields[b":method"] != b"POST":
            self._send_other(stream_id, b"", OtherAnswer(405, ((b"allow", b"POST"),)))
            self._answered_early.append(stream_id)
        else:
            try:
                return Opening.read(headers, fields, self.limits.max_metadata)
            except WireError as error:
                self.calls[stream_id] = call = self._begin()
                call.stream_id = stream_id
                if event.end_stream:
                    call.receiving = DONE
                self.send_status(call, error.status, str(error))
        return None

    def _refuse_stream(self, stream_id: int) -> None:
        self.counters["refused"] += 1
        self._reset_stream(stream_id, ngh2.ErrorCode.REFUSED_STREAM)

    def _received_end(self, call: Call) -> None:
        self._events.append(HalfClosed(call))

    def _late(self, stream_id: int, details: str) -> None:
        if (call := self.calls.get(stream_id)) is not None:
            self.send_status(call, Status.DEADLINE_EXCEEDED, details)
            self._events.append(CallLost(call, Status.DEADLINE_EXCEEDED, details))
        elif (request := self._others.get(stream_id)) is not None:
            self._refuse(request, 408)

    def _expire(self, call: Call) -> None:
        self.counters["expired"] += 1
        self.send_status(call, Status.DEADLINE_EXCEEDED, "the deadline has passed")
        self._events.append(CallLost(call, Status.DEADLINE_EXCEEDED, "the deadline has passed"))

    def _fail(self, call: Call, error: WireError) -> None:
        self.counters["refused"] += 1
        if call.sending is not DONE:
            self.send_status(call, error.status, str(error))
        self._events.append(CallLost(call, error.status, str(error)))

    def _reset(self, call: Call, _error_code: int) -> None:
        self.counters["cancelled"] += 1
        call.receiving = call.sending = RESET
        self._forget(call)
        self._events.append(CallLost(call, Status.CANCELLED, "the caller has left"))

    def _call_lost(self, call: Call, status: Status, details: str, *, is_unprocessed: bool = False) -> None:  # noqa: ARG002
        self._events.append(CallLost(call, status, details))

    def _on_stream_reset(self, event: ngh2.StreamReset) -> None:
        is_cancelled = event.stream_id in self.calls or event.stream_id in self._others
        super()._on_stream_reset(event)
        self._lose_other(event.stream_id)
        if is_cancelled:
            if self._resets is None:
                self._resets = Bucket(*self.limits.resets)
            self._resets.give(self._take_credit())
            if not self._resets.take(self._now):
                self._abuse("resets")

    def _on_stream_closed(self, event: ngh2.StreamClosed) -> None:
        super()._on_stream_closed(event)
        self._lose_other(event.stream_id)
