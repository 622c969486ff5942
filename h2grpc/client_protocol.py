"""
The client's end of a connection, without I/O: calls out, and one outcome for each, whatever happens on the way.

An answer that is no gRPC answer gets the status that the specification maps its HTTP status to; a reset or a lost
connection likewise. A call that the server says it did not touch is marked so, for the driver to try elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import ngh2

from h2grpc import timeout
from h2grpc.call import Call
from h2grpc.call_state import DONE, OPEN, RESET, Move
from h2grpc.compression import ACCEPTED, compress
from h2grpc.counters import Counters
from h2grpc.errors import WireError
from h2grpc.events import CallEnded, CallHeaders, GoingAway
from h2grpc.framing import frame, new_head
from h2grpc.limits import Limits
from h2grpc.protocol import Connection
from h2grpc.status import Status, from_http, from_reset, percent_decode, status_of

__all__ = ["ClientConnection"]


class ClientConnection(Connection):
    HANDLED: ClassVar[dict[type, str]] = Connection.HANDLED | {ngh2.ResponseReceived: "_on_response"}

    def __init__(
        self,
        limits: Limits,
        counters: Counters,
        now: float,
        *,
        authority: str,
        scheme: str = "http",
        user_agent: str = "h2grpc",
    ) -> None:
        super().__init__(ngh2.Role.CLIENT, limits, counters, now)
        self._always = [
            (b":method", b"POST"),
            (b":scheme", scheme.encode()),
            (b":authority", authority.encode()),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"user-agent", user_agent.encode()),
            (b"grpc-accept-encoding", ACCEPTED),
        ]
        self.max_streams = self._engine.remote_settings[ngh2.Setting.MAX_CONCURRENT_STREAMS]
        """Calls at once that the peer allows; more wait in the engine until others end."""

    @property
    def can_start(self) -> bool:
        """False once the peer is leaving, or stream numbers are used up."""
        return not self._is_ended and self._engine.can_send_request

    @property
    def has_more(self) -> bool:
        """Whether ``data_to_send`` or ``events`` has something, or the connection is about to end; cheap to ask."""
        engine = self._engine
        return self._is_ended or engine.want_write or bool(self._events) or not engine.want_read

    def start(
        self,
        path: bytes,
        now: float,
        metadata: Sequence[tuple[bytes, bytes]] = (),
        *,
        deadline: float | None = None,
        compression: str | None = None,
    ) -> Call:
        """``ngh2.ConnectionClosingError`` or ``NoAvailableStreamIDError``: use another connection."""
        headers = [*self._always, (b":path", path)]
        headers.insert(3, headers.pop())  # names with a colon come first
        if deadline is not None:
            headers.append((b"grpc-timeout", timeout.encode(deadline - now)))
        if compression is not None:
            headers.append((b"grpc-encoding", compression.encode()))
        headers += metadata
        stream_id = self._engine.send_request(headers)
        call = Call()
        call.stream_id, call.path, call.headers = stream_id, path, ()
        call.compression = compression
        call.sending = OPEN
        self.calls[stream_id] = call
        if deadline is not None:
            call.deadline = deadline
            self.deadlines.add(stream_id, deadline)
        return call

    def send_message(self, call: Call, message: bytes) -> None:
        if call.sending is not OPEN:
            call.send(Move.MESSAGE)  # raises
        self._has_worked = True
        self._engine.send_data(call.stream_id, _framed(call, message))

    def send_alone(self, call: Call, message: bytes) -> bytes | None:
        """
        ``send_message`` to a call that is open, and ``data_to_send``, in one.

        Only where no message of any call waits to be sent; else None, and nothing is done.
        """
        engine = self._engine
        if engine.queued_body_size():
            return None
        self._has_worked = True
        plain = call.compression is None
        engine.send_data(call.stream_id, new_head(0, len(message)) + message if plain else _framed(call, message))
        return self.data_to_send()

    def end(self, call: Call) -> None:
        """Nothing more to send; the answer may go on."""
        call.send(Move.END)
        self._engine.end_stream(call.stream_id)

    def cancel(self, call: Call, error_code: int = ngh2.ErrorCode.CANCEL) -> None:
        """Nobody waits for the call any more. It is forgotten without an event."""
        if call.stream_id in self.calls:
            self._forget(call)
            self._reset_stream(call.stream_id, error_code)
            call.sending = call.receiving = RESET

    # What the engine tells

    def _on_settings(self, event: ngh2.SettingsReceived) -> None:
        super()._on_settings(event)
        self.max_streams = self._engine.remote_settings[ngh2.Setting.MAX_CONCURRENT_STREAMS]

    def _on_response(self, event: ngh2.ResponseReceived) -> None:
        call = self.calls.get(event.stream_id)
        if call is None:
            return
        fields = dict(event.headers)
        http = int(fields[b":status"])
        content_type = fields.get(b"content-type", b"")
        if b"grpc-status" in fields and event.end_stream:
            self._finish(call, event.headers)
        elif http != 200:
            self._break(call, from_http(http), f"the server answered with HTTP status {http}")
        elif content_type[:16] != b"application/grpc":
            self._break(call, Status.UNKNOWN, "the server's answer is no gRPC")
        elif event.end_stream:
            self._break(call, Status.UNKNOWN, "the server's answer has no status")
        else:
            call.headers = event.headers
            call.encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
            call.receive(Move.HEADERS)
            self._events.append(CallHeaders(call))

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        call = self.calls.get(event.stream_id)
        if call is None:
            return
        try:
            if call.reader is not None:
                call.reader.finish()
        except WireError as error:
            self._fail(call, error)
            return
        self._finish(call, event.headers)

    def _finish(self, call: Call, trailers: tuple[tuple[bytes, bytes], ...]) -> None:
        fields = dict(trailers)
        number = fields.get(b"grpc-status", b"")
        status = status_of(int(number)) if number.isdigit() else Status.UNKNOWN
        details = percent_decode(fields.get(b"grpc-message", b""))
        call.receiving = DONE
        self._quit(call)
        self._events.append(CallEnded(call, status, details, trailers))

    def _received_end(self, call: Call) -> None:
        self._break(call, Status.INTERNAL, "the server ended the stream without a status")

    def _break(self, call: Call, status: Status, details: str) -> None:
        self._quit(call)
        self._events.append(CallEnded(call, status, details))

    def _quit(self, call: Call) -> None:
        """The outcome is there: what we still had to say is not wanted."""
        self._forget(call)
        if call.sending is OPEN:
            self._reset_stream(call.stream_id, ngh2.ErrorCode.CANCEL)
        call.sending = DONE

    def _wear_out(self) -> None:
        self._events.append(GoingAway(0))

    def _expire(self, call: Call) -> None:
        self.cancel(call)
        self._events.append(CallEnded(call, Status.DEADLINE_EXCEEDED, "the deadline has passed"))

    def _fail(self, call: Call, error: WireError) -> None:
        self.cancel(call)
        self._events.append(CallEnded(call, error.status, str(error)))

    def _reset(self, call: Call, error_code: int) -> None:
        call.sending = call.receiving = RESET
        self._forget(call)
        is_unprocessed = error_code == ngh2.ErrorCode.REFUSED_STREAM
        details = f"the server reset the stream with error code {error_code}"
        self._events.append(CallEnded(call, from_reset(error_code), details, is_unprocessed=is_unprocessed))

    def _call_lost(self, call: Call, status: Status, details: str, *, is_unprocessed: bool = False) -> None:
        self._events.append(CallEnded(call, status, details, is_unprocessed=is_unprocessed))

    def _on_goaway(self, event: ngh2.GoAwayReceived) -> None:
        super()._on_goaway(event)
        for call in [call for call in self.calls.values() if call.stream_id > event.last_stream_id]:
            call.sending = call.receiving = RESET
            self._forget(call)
            self._call_lost(call, Status.UNAVAILABLE, "the server is leaving", is_unprocessed=True)


def _framed(call: Call, message: bytes) -> bytes:
    compression = call.compression
    return frame(message) if compression is None else frame(compress(compression, message), compressed=True)
