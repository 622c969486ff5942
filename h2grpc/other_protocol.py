"""
Requests over HTTP/2 that are no gRPC, without I/O: collected whole and told as ``OtherArrived``, then answered.

One whose headers or body are too long, or whose body takes too long, is told as soon as that is known, with the status
that its answer should have in ``refusal``; its handler finds the words. Some clients of REST take a reset for a failure
and never look at the answer, so one that was answered early may go on sending for a moment, into nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

import ngh2

from h2grpc.counters import Counters
from h2grpc.events import OtherArrived, OtherLost
from h2grpc.limits import Limits
from h2grpc.metadata import PER_ENTRY
from h2grpc.other import OtherAnswer, OtherRequest
from h2grpc.protocol import Connection

__all__ = ["GONE", "OtherConnection"]

GONE: Final = (ngh2.StreamProtocolError, ngh2.ConnectionStateError)
"""The stream or the connection ended while an answer was made; whoever waits for it is told by an event."""
_RUN_OUT: Final = 2.0
"""Seconds for a client of REST that was answered early to stop by itself; what it sends meanwhile is thrown away."""


class OtherConnection(Connection):
    """Of a server, as far as it serves such requests; 415 if it does not."""

    __slots__ = ("_answered", "_others", "_running_out", "_serves_others")

    def __init__(self, limits: Limits, counters: Counters, now: float, *, serves_others: bool) -> None:
        super().__init__(ngh2.Role.SERVER, limits, counters, now)
        self._serves_others = serves_others
        self._others: dict[int, OtherRequest] = {}
        """Those that are not answered."""
        self._running_out: list[tuple[float, int]] | None = None
        self._answered: list[int] = []
        """Streams whose answers were made lately, of calls too."""

    def send_other(self, request: OtherRequest, answer: OtherAnswer) -> None:
        if self._others.pop(request.stream_id, None) is None:
            return  # the one that asked has left
        self._send_other(request.stream_id, request.method, answer)
        if not request.is_whole:
            self._let_run_out(request.stream_id)

    def _send_other(self, stream_id: int, method: bytes, answer: OtherAnswer) -> None:
        self._has_worked = True
        self._answered.append(stream_id)
        headers = [(b":status", str(answer.status).encode()), *answer.headers]
        has_body = bool(answer.body) and method != b"HEAD"
        try:
            self._engine.send_response(stream_id, headers, end_stream=not has_body)
            if has_body:
                self._engine.send_data(stream_id, answer.body, end_stream=True)
        except GONE:
            return

    def _let_run_out(self, stream_id: int) -> None:
        if self._running_out is None:
            self._running_out = []
        self._running_out.append((self._now + _RUN_OUT, stream_id))
        self._check_at = min(self._check_at, self._now + _RUN_OUT)

    def _stop_those_run_out(self, now: float) -> float | None:
        """When to look again."""
        waiting = self._running_out
        while waiting and waiting[0][0] <= now:
            self._reset_stream(waiting.pop(0)[1], ngh2.ErrorCode.NO_ERROR)
        return waiting[0][0] if waiting else None

    # What the engine tells

    def _on_other(
        self, event: ngh2.RequestReceived, fields: dict[bytes, bytes], headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        stream_id = event.stream_id
        method = fields.get(b":method", b"")
        if not self._serves_others or len(self._others) >= self.limits.max_streams:
            status = 503 if self._serves_others else 415
            self._send_other(stream_id, method, OtherAnswer(status))
            if not event.end_stream:
                self._let_run_out(stream_id)
            return
        plain = tuple([pair for pair in headers if pair[0][:1] != b":"])
        path, authority = fields.get(b":path", b""), fields.get(b":authority", b"")
        self._others[stream_id] = request = OtherRequest(stream_id, method, path, authority, plain)
        request.is_whole = event.end_stream
        if sum(map(len, chain.from_iterable(headers))) + PER_ENTRY * len(headers) > self.limits.max_metadata:
            self._refuse(request, 431)
        elif event.end_stream:
            self._events.append(OtherArrived(request))
        else:
            request.parts = []
            if fields.get(b"expect") == b"100-continue":
                with suppress(*GONE):
                    self._engine.send_informational_response(stream_id, [(b":status", b"100")])

    def _on_unknown_data(self, event: ngh2.DataReceived) -> None:
        super()._on_unknown_data(event)
        request = self._others.get(event.stream_id)
        if request is None:
            return
        data, request.is_whole = event.data, event.end_stream
        parts = request.parts
        if parts is None:
            return  # refused already
        if request.is_whole and not parts and len(data) <= self.limits.max_receive_message:
            request.body, request.parts = data, None
            self._events.append(OtherArrived(request))
            return
        parts.append(data)
        request.held += len(data)
        self.counters["held_bytes"] += len(data)
        if request.held > self.limits.max_receive_message:
            self._refuse(request, 413)
        elif request.is_whole:
            self._other_is_whole(request, parts)
        elif self.counters["held_bytes"] > self.limits.max_held:
            self._refuse(request, 503)

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        super()._on_trailers(event)
        request = self._others.get(event.stream_id)
        if request is not None and request.parts is not None:
            request.is_whole = True
            self._other_is_whole(request, request.parts)

    def _other_is_whole(self, request: OtherRequest, parts: list[bytes]) -> None:
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._release(request)
        self._events.append(OtherArrived(request))

    def _refuse(self, request: OtherRequest, status: int) -> None:
        self._release(request)
        request.refusal = status
        self.counters["refused"] += 1
        self._events.append(OtherArrived(request))

    def _release(self, request: OtherRequest) -> None:
        self.counters["held_bytes"] -= request.held
        request.parts, request.held = None, 0

    def _lose_other(self, stream_id: int) -> None:
        if (request := self._others.pop(stream_id, None)) is not None:
            self._release(request)
            self._events.append(OtherLost(request))

    def _end(self, error_code: int, reason: str) -> None:
        for stream_id in list(self._others):
            self._lose_other(stream_id)
        super()._end(error_code, reason)
