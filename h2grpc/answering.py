"""
How calls are answered on a server's connection, without I/O: headers, messages, status, or all of it at once.

Who is answered before everything was sent is told to stop, once the answer is out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

import ngh2

from h2grpc.call import Call
from h2grpc.call_state import DONE, IDLE, OPEN, Move
from h2grpc.compression import ACCEPTED, compress
from h2grpc.counters import Counters
from h2grpc.events import CallLost
from h2grpc.framing import frame, new_head
from h2grpc.leaving import LeavingConnection
from h2grpc.limits import Limits
from h2grpc.other_protocol import GONE
from h2grpc.server_call import ServerCall
from h2grpc.status import Status, percent_encode

__all__ = ["GRPC", "OK", "AnsweringConnection"]

Headers = Sequence[tuple[bytes, bytes]]

GRPC: Final = b"application/grpc"
HEADERS: Final = [(b":status", b"200"), (b"content-type", GRPC), (b"grpc-accept-encoding", ACCEPTED)]
OK: Final = [(b"grpc-status", b"0")]
NUMBERS: Final = {status: str(int(status)).encode() for status in Status}


class AnsweringConnection(LeavingConnection):
    __slots__ = ("_answered_early",)

    def __init__(self, limits: Limits, counters: Counters, now: float, *, serves_others: bool) -> None:
        super().__init__(limits, counters, now, serves_others=serves_others)
        self._answered_early: list[int] = []

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
        framed = new_head(0, len(message)) + message  # first: it raises for what is no bytes, and the call goes on
        call.sending = DONE
        self._has_worked = True
        engine, stream_id = self._engine, call.stream_id
        self._answered.append(stream_id)
        try:
            engine.send_response(stream_id, HEADERS)
            engine.send_data(stream_id, framed)
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
            self._is_ended  # first, as the engine of one that is broken must not be asked
            or self._engine.want_write
            or self._answered_early
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
