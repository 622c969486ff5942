"""
The server's end of a connection, without I/O: which requests are calls, and how calls are answered.

A request is a call if its content type says gRPC. Others are collected whole and told as ``OtherArrived`` if the driver
serves such requests, and refused with 415 if not. A missing ``te: trailers`` is let pass, as gRPC's Go and Java servers
do: it tells of a proxy in between, not of the caller.

Draining takes two GOAWAYs: the first tells the peer to start nothing more, the second, a round trip later, which calls
were accepted. The connection ends with the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import ClassVar, Final

import ngh2

from h2grpc import timeout
from h2grpc.bucket import Bucket
from h2grpc.call import Call
from h2grpc.call_state import Move, State
from h2grpc.compression import ACCEPTED, ALGORITHMS, compress
from h2grpc.counters import Counters
from h2grpc.errors import UnknownCompression, WireError
from h2grpc.events import CallLost, CallStarted, HalfClosed, Message, OtherArrived, OtherLost
from h2grpc.framing import frame
from h2grpc.limits import Limits
from h2grpc.other import OtherAnswer, OtherRequest
from h2grpc.protocol import Connection
from h2grpc.status import Status, percent_encode

__all__ = ["ServerConnection"]

Headers = Sequence[tuple[bytes, bytes]]

GRPC: Final = b"application/grpc"
HEADERS: Final = [(b":status", b"200"), (b"content-type", GRPC), (b"grpc-accept-encoding", ACCEPTED)]
OK: Final = [(b"grpc-status", b"0")]
NUMBERS: Final = {status: str(int(status)).encode() for status in Status}
_GONE: Final = (ngh2.StreamProtocolError, ngh2.ConnectionStateError)
"""The stream or the connection ended while an answer was made; whoever waits for it is told by an event."""
_DRAIN: Final = b"drain\0\0\0"
_RUN_OUT: Final = 2.0
"""Seconds for a client of REST that was answered early to stop by itself; what it sends meanwhile is thrown away."""
_DRAIN_WAIT: Final = 1.0
"""Seconds for the round trip between the two GOAWAYs."""


class ServerConnection(Connection):
    HANDLED: ClassVar[dict[type, str]] = Connection.HANDLED | {ngh2.RequestReceived: "_on_request"}

    def __init__(self, limits: Limits, counters: Counters, now: float, *, serves_others: bool = False) -> None:
        super().__init__(ngh2.Role.SERVER, limits, counters, now)
        self._serves_others = serves_others
        self._others: dict[int, tuple[OtherRequest, list[bytes]]] = {}
        self._answered_early: list[int] = []
        self._running_out: list[tuple[float, int]] = []
        self._answered = 0
        self._resets = Bucket(*limits.resets)
        self._idle_since = now
        self._drain_at: float | None = None
        self._is_draining = False
        self._leave_at: float | None = None

    # Answering

    def send_headers(self, call: Call, metadata: Iterable[tuple[bytes, bytes]] = ()) -> None:
        call.send(Move.HEADERS)
        headers = [*HEADERS, *metadata]
        if call.compression is not None:
            headers.append((b"grpc-encoding", call.compression.encode()))
        with suppress(*_GONE):
            self._engine.send_response(call.stream_id, headers)

    def send_message(self, call: Call, message: bytes) -> None:
        call.send(Move.MESSAGE)
        self._has_worked = True
        if call.compression is None:
            framed = frame(message)
        else:
            framed = frame(compress(call.compression, message), compressed=True)
        with suppress(*_GONE):
            self._engine.send_data(call.stream_id, framed)

    def send_status(self, call: Call, status: Status, details: str = "", trailers: Headers = ()) -> None:
        """The end of the call; it is forgotten here."""
        is_only = call.sending is State.IDLE
        call.send(Move.END)
        self._has_worked = True
        self._answered += 1
        if status is Status.OK and not trailers:
            end: Headers = OK
        else:
            end = [(b"grpc-status", NUMBERS[status])]
            if details:
                end.append((b"grpc-message", percent_encode(details)))
            end += trailers
        with suppress(*_GONE):
            if is_only:
                self._engine.send_response(call.stream_id, [*HEADERS, *end], end_stream=True)
            else:
                self._engine.send_trailers(call.stream_id, end)
        self._forget(call)
        if call.receiving is not State.DONE:
            self._answered_early.append(call.stream_id)

    def send_answer(self, call: Call, message: bytes, trailers: Headers = OK) -> None:
        """A whole unary answer, uncompressed and with nothing special about it; ``trailers`` include the status."""
        call.sending = State.DONE
        self._has_worked = True
        self._answered += 1
        engine, stream_id = self._engine, call.stream_id
        try:
            engine.send_response(stream_id, HEADERS)
            engine.send_data(stream_id, frame(message))
            engine.send_trailers(stream_id, trailers)
        except _GONE:
            pass
        self._forget(call)

    def reset(self, call: Call, error_code: int = ngh2.ErrorCode.CANCEL) -> None:
        """End the call without an answer."""
        call.send(Move.RESET)
        self._reset_stream(call.stream_id, error_code)
        self._forget(call)

    def choose_compression(self, call: Call, algorithm: str) -> None:
        """Compress the answer, if the caller can read it."""
        accepted = {name.strip() for name in call.accepts.split(b",")}
        if algorithm != "identity" and algorithm.encode() in accepted:
            call.compression = algorithm

    def send_other(self, request: OtherRequest, answer: OtherAnswer) -> None:
        if self._others.pop(request.stream_id, None) is None:
            return  # the one that asked has left
        self._send_other(request.stream_id, request.method, answer)

    def _send_other(self, stream_id: int, method: bytes, answer: OtherAnswer) -> None:
        self._has_worked = True
        headers = [(b":status", str(answer.status).encode()), *answer.headers]
        has_body = bool(answer.body) and method != b"HEAD"
        try:
            self._engine.send_response(stream_id, headers, end_stream=not has_body)
            if has_body:
                self._engine.send_data(stream_id, answer.body, end_stream=True)
        except _GONE:
            return

    # Leaving

    def drain(self, now: float, grace: float | None = None) -> None:
        """Take no new calls; end with the last one, or ``grace`` seconds from now."""
        if self.is_ended or self._is_draining:
            return
        self._is_draining = True
        self._now = now
        self._engine.send_shutdown_notice()
        self._engine.ping(_DRAIN)
        self._drain_at = now + _DRAIN_WAIT
        self._check_at = min(self._check_at, self._drain_at)
        if grace is not None:
            self._leave_at = now + grace

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
    def is_busy(self) -> bool:
        return bool(self.calls or self._others or (not self.is_ended and self.unsent_in_all))

    def _really_drain(self) -> None:
        if self._drain_at is not None:
            self._drain_at = None
            self._engine.send_goaway()

    @property
    def has_more(self) -> bool:
        """Whether ``data_to_send`` has something to do besides what it gave last."""
        return bool(self._answered_early) or bool(self._last_words)

    def data_to_send(self) -> bytes:
        data = super().data_to_send()
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

    def _let_run_out(self, stream_id: int) -> None:
        """As above for clients of REST, some of which take a reset for a failure and never look at the answer."""
        self._running_out.append((self._now + _RUN_OUT, stream_id))
        self._check_at = min(self._check_at, self._now + _RUN_OUT)

    # What the engine tells

    def _on_request(self, event: ngh2.RequestReceived) -> None:
        headers = event.headers
        fields = dict(headers)
        content_type = fields.get(b"content-type", b"")
        if content_type != GRPC and content_type[:17] not in (b"application/grpc+", b"application/grpc;"):
            self._on_other(event, fields)
            return
        stream_id = event.stream_id
        if len(self.calls) >= self.limits.max_streams:
            self.counters["refused"] += 1
            self._reset_stream(stream_id, ngh2.ErrorCode.REFUSED_STREAM)
            return
        call = Call(stream_id, fields[b":path"], headers)
        call.receiving = State.OPEN
        self.calls[stream_id] = call
        if fields[b":method"] != b"POST":
            self._forget(call)
            self._send_other(stream_id, b"", OtherAnswer(405, ((b"allow", b"POST"),)))
            self._answered_early.append(stream_id)
            return
        try:
            if (value := fields.get(b"grpc-timeout")) is not None:
                call.deadline = at = self._now + timeout.decode(value)
                self.deadlines.add(stream_id, at)
            if (value := fields.get(b"grpc-encoding")) is not None:
                call.encoding = encoding = value.decode("latin-1")
                if encoding not in ALGORITHMS:
                    raise UnknownCompression(f"the algorithm {encoding!r} is not known")
        except WireError as error:
            call.receiving = State.DONE if event.end_stream else State.OPEN
            self.send_status(call, error.status, str(error))
            return
        if (value := fields.get(b"grpc-accept-encoding")) is not None:
            call.accepts = value
        self._events.append(CallStarted(call))
        if event.end_stream:
            call.receiving = State.DONE
            self._events.append(HalfClosed(call))

    def _received_end(self, call: Call) -> None:
        self._events.append(HalfClosed(call))

    def _received_last(self, call: Call, message: bytes) -> None:
        call.receiving = State.DONE
        self._events.append(Message(call, message, is_last=True))

    def _expire(self, call: Call) -> None:
        self.counters["expired"] += 1
        self.send_status(call, Status.DEADLINE_EXCEEDED, "the deadline has passed")
        self._events.append(CallLost(call, Status.DEADLINE_EXCEEDED, "the deadline has passed"))

    def _fail(self, call: Call, error: WireError) -> None:
        self.counters["refused"] += 1
        if call.sending is not State.DONE:
            self.send_status(call, error.status, str(error))
        self._events.append(CallLost(call, error.status, str(error)))

    def _reset(self, call: Call, _error_code: int) -> None:
        self.counters["cancelled"] += 1
        call.receiving = call.sending = State.RESET
        self._forget(call)
        self._events.append(CallLost(call, Status.CANCELLED, "the caller has left"))

    def _call_lost(self, call: Call, status: Status, details: str, *, is_unprocessed: bool = False) -> None:  # noqa: ARG002
        self._events.append(CallLost(call, status, details))

    def _on_pong(self, event: ngh2.PingAcknowledged) -> None:
        super()._on_pong(event)
        if event.opaque_data == _DRAIN:
            self._really_drain()

    def _end(self, error_code: int, reason: str) -> None:
        for request, _ in self._others.values():
            self._release(request)
            self._events.append(OtherLost(request))
        self._others.clear()
        super()._end(error_code, reason)

    def _check(self, now: float) -> None:
        limits = self.limits
        super()._check(now)
        if self.is_ended or not self._is_greeted:
            return
        if self._drain_at is not None and now >= self._drain_at:
            self._really_drain()
        if self._leave_at is not None and now >= self._leave_at:
            self.leave("the connection has come of age")
            return
        if self.is_busy:
            self._idle_since = now
        if not self._is_draining:
            is_old = limits.max_age is not None and now - self._started >= limits.max_age
            is_idle = limits.max_idle is not None and now - self._idle_since >= limits.max_idle
            if is_old or is_idle:
                self.counters["aged" if is_old else "idled"] += 1
                self.drain(now, limits.max_age_grace)
        while self._running_out and self._running_out[0][0] <= now:
            self._engine.reset_stream(self._running_out.pop(0)[1], ngh2.ErrorCode.NO_ERROR)
        ats = [self._drain_at, self._leave_at, self._running_out[0][0] if self._running_out else None]
        if not self._is_draining:
            ats.append(None if limits.max_age is None else self._started + limits.max_age)
            # While calls run this only looks again after half the time: nobody is put out early for it.
            ats.append(
                None if limits.max_idle is None else max(self._idle_since, now - limits.max_idle / 2) + limits.max_idle
            )
        self._check_at = min([self._check_at, *(at for at in ats if at is not None)])

    # Requests that are no gRPC

    def _on_other(self, event: ngh2.RequestReceived, fields: dict[bytes, bytes]) -> None:
        stream_id = event.stream_id
        method = fields.get(b":method", b"")
        if not self._serves_others or len(self._others) >= self.limits.max_streams:
            status = 503 if self._serves_others else 415
            self._send_other(stream_id, method, OtherAnswer(status))
            if not event.end_stream:
                self._let_run_out(stream_id)
            return
        plain = tuple(pair for pair in event.headers if pair[0][:1] != b":")
        path, authority = fields.get(b":path", b""), fields.get(b":authority", b"")
        request = OtherRequest(stream_id, method, path, authority, plain)
        self._others[stream_id] = (request, [])
        if event.end_stream:
            self._events.append(OtherArrived(request))

    def _on_unknown_data(self, event: ngh2.DataReceived) -> None:
        super()._on_unknown_data(event)
        if (entry := self._others.get(event.stream_id)) is None:
            return
        request, parts = entry
        if event.data:
            parts.append(event.data)
            request.held += len(event.data)
            self.counters["held_bytes"] += len(event.data)
        is_too_large = request.held > self.limits.max_receive_message
        if is_too_large or (not event.end_stream and self.counters["held_bytes"] > self.limits.max_held):
            del self._others[event.stream_id]
            self._release(request)
            self._send_other(event.stream_id, request.method, OtherAnswer(413 if is_too_large else 503))
            if not event.end_stream:
                self._let_run_out(event.stream_id)
        elif event.end_stream:
            self._other_is_whole(request, parts)

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        super()._on_trailers(event)
        if (entry := self._others.get(event.stream_id)) is not None:
            self._other_is_whole(*entry)

    def _other_is_whole(self, request: OtherRequest, parts: list[bytes]) -> None:
        self._release(request)
        request.body = b"".join(parts)
        parts.clear()
        self._events.append(OtherArrived(request))

    def _release(self, request: OtherRequest) -> None:
        self.counters["held_bytes"] -= request.held
        request.held = 0

    def _on_stream_reset(self, event: ngh2.StreamReset) -> None:
        is_cancelled = event.stream_id in self.calls or event.stream_id in self._others
        super()._on_stream_reset(event)
        self._lose_other(event.stream_id)
        if is_cancelled:
            self._resets.give(self._answered)
            self._answered = 0
            if not self._resets.take(self._now):
                self._abuse("resets")

    def _on_stream_closed(self, event: ngh2.StreamClosed) -> None:
        if event.stream_id in self.calls:
            super()._on_stream_closed(event)
        elif self._others:
            self._lose_other(event.stream_id)

    def _lose_other(self, stream_id: int) -> None:
        if (entry := self._others.pop(stream_id, None)) is not None:
            self._release(entry[0])
            self._events.append(OtherLost(entry[0]))
