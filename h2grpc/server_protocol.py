"""
The server's end of a connection, without I/O: which requests are calls, and how calls are answered.

A request is a call if its content type says gRPC; the others are ``other_protocol``'s. A missing ``te: trailers`` is
let pass, as gRPC's Go and Java servers do: it tells of a proxy in between, not of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import ngh2

from h2grpc.bucket import Bucket
from h2grpc.call import Call
from h2grpc.call_state import DONE, IDLE, OPEN, RESET, Move
from h2grpc.compression import ACCEPTED, compress
from h2grpc.counters import Counters
from h2grpc.errors import WireError
from h2grpc.events import CallLost, HalfClosed, Message
from h2grpc.framing import HEAD, frame, head_of, new_head
from h2grpc.leaving import LeavingConnection
from h2grpc.limits import Limits
from h2grpc.opening import NONE, Opening
from h2grpc.other import OtherAnswer
from h2grpc.other_protocol import GONE
from h2grpc.server_call import ServerCall
from h2grpc.status import Status, percent_encode

__all__ = ["ServerConnection"]

Headers = Sequence[tuple[bytes, bytes]]

GRPC: Final = b"application/grpc"
HEADERS: Final = [(b":status", b"200"), (b"content-type", GRPC), (b"grpc-accept-encoding", ACCEPTED)]
OK: Final = [(b"grpc-status", b"0")]
_RequestReceived, _DataReceived, _StreamClosed = ngh2.RequestReceived, ngh2.DataReceived, ngh2.StreamClosed
"""For what runs for each call."""
NUMBERS: Final = {status: str(int(status)).encode() for status in Status}


class ServerConnection(LeavingConnection):
    """``begin`` makes the calls, of the class that the driver wants."""

    __slots__ = ("_answered_early", "_begin", "_opening", "_resets")

    def __init__(
        self,
        limits: Limits,
        counters: Counters,
        now: float,
        *,
        serves_others: bool = False,
        begin: Callable[[int, Opening], ServerCall] = ServerCall,
    ) -> None:
        super().__init__(limits, counters, now, serves_others=serves_others)
        self._begin = begin
        self._answered_early: list[int] = []
        self._opening = NONE
        """What the last call said that was one."""
        self._resets: Bucket | None = None
        """There from the first reset on."""

    # Answering

    def send_headers(self, call: Call, metadata: Iterable[tuple[bytes, bytes]] = ()) -> None:
        call.send(Move.HEADERS)
        headers = [*HEADERS, *metadata]
        if call.compression is not None:
            headers.append((b"grpc-encoding", call.compression.encode()))
        with suppress(*GONE):
            self._engine.send_response(call.stream_id, headers)

    def send_message(self, call: Call, message: bytes) -> None:
        if call.sending is not OPEN:
            call.send(Move.MESSAGE)  # raises
        self._has_worked = True
        if call.compression is None:
            framed = frame(message)
        else:
            framed = frame(compress(call.compression, message), compressed=True)
        try:  # noqa: SIM105  # costs nothing where it succeeds
            self._engine.send_data(call.stream_id, framed)
        except GONE:
            pass

    def send_status(self, call: Call, status: Status, details: str = "", trailers: Headers = ()) -> None:
        """The end of the call; it is forgotten here."""
        is_only = call.sending is IDLE
        call.send(Move.END)
        self._has_worked = True
        self._answered.append(call.stream_id)
        if status is Status.OK and not trailers:
            end: Headers = OK
        else:
            end = [(b"grpc-status", NUMBERS[status])]
            if details:
                end.append((b"grpc-message", percent_encode(details)))
            end += trailers
        with suppress(*GONE):
            if is_only:
                self._engine.send_response(call.stream_id, [*HEADERS, *end], end_stream=True)
            else:
                self._engine.send_trailers(call.stream_id, end)
        self._forget(call)
        if call.receiving is not DONE:
            self._answered_early.append(call.stream_id)

    def send_answer(self, call: Call, message: bytes, trailers: Headers = OK) -> None:
        """A whole unary answer, uncompressed and with nothing special about it; ``trailers`` include the status."""
        call.sending = DONE
        self._has_worked = True
        engine, stream_id = self._engine, call.stream_id
        self._answered.append(stream_id)
        try:
            engine.send_response(stream_id, HEADERS)
            engine.send_data(stream_id, new_head(0, len(message)) + message)
            engine.send_trailers(stream_id, trailers)
        except GONE:
            pass
        if call.reader is None and call.deadline is None:
            self.calls.pop(stream_id, None)  # there is nothing else to forget
        else:
            self._forget(call)

    def reset(self, call: Call, error_code: int = ngh2.ErrorCode.CANCEL) -> None:
        """End the call without an answer."""
        call.send(Move.RESET)
        self._reset_stream(call.stream_id, error_code)
        self._forget(call)

    def choose_compression(self, call: ServerCall, algorithm: str) -> None:
        """Compress the answer, if the caller can read it."""
        accepted = {name.strip() for name in call.opening.accepts.split(b",")}
        if algorithm != "identity" and algorithm.encode() in accepted:
            call.compression = algorithm

    # Leaving

    def leave(self, reason: str) -> None:
        """End every call with UNAVAILABLE, and then the connection."""
        if self.is_ended:
            return
        for call in list(self.calls.values()):
            self.send_status(call, Status.UNAVAILABLE, reason)
            self._events.append(CallLost(call, Status.UNAVAILABLE, reason))
        words = bytearray()
        while data := super().data_to_send():
            words += data
        self.close(0, reason)
        self._last_words = bytes(words) + self._last_words

    @property
    def wants_flush(self) -> bool:
        """Whether ``data_to_send`` has something to do; cheap to ask."""
        return self._is_ended or self._engine.want_write or bool(self._answered_early)

    def is_quiet(self, until: float) -> bool:
        """Whether neither this has, nor ``tick`` will have something to do before ``until``."""
        return not (
            self._engine.want_write
            or self._answered_early
            or self._is_ended
            or self.deadlines.earliest < until
            or self._check_at < until
        )

    @property
    def has_more(self) -> bool:
        """Whether ``data_to_send`` has something to do besides what it gave last."""
        return bool(self._answered_early or self._last_words)

    @property
    def has_rest(self) -> bool:
        """Whether that is so, or ``events`` has something."""
        return bool(self._events or self._answered_early or self._last_words)

    def data_to_send(self) -> bytes:
        data = LeavingConnection.data_to_send(self)  # runs with every answer, and ``super()`` takes as long as the rest
        if len(self._answered) > self._many and not self._is_ended:
            self._settle()
        if self._answered_early and not data and not self._is_ended:
            self._stop_reading()
            data = super().data_to_send()
        return data

    def _stop_reading(self) -> None:
        """Tell those who were answered before they had sent everything to stop, once their answer is out."""
        waiting = []
        for stream_id in self._answered_early:
            if self._engine.queued_body_size(stream_id):
                waiting.append(stream_id)
            else:
                self._reset_stream(stream_id, ngh2.ErrorCode.NO_ERROR)
        self._answered_early = waiting

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
                calls[stream_id] = begun = self._begin(stream_id, opening)
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
                self.calls[stream_id] = call = self._begin(stream_id, NONE)
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
