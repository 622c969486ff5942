"""
One HTTP/1.1 connection: bytes to the reader, its requests to the exchange one after another, answers in one write each.

Only one request of a connection is worked on at a time. What a client sends ahead waits here, up to a limit at which
its socket is not read any more; likewise nothing is begun for a client that does not read its answers. When the client
goes, its request is cancelled. Closing only its sending half counts as going: over TCP the two look the same, and rows
of those who left must leave the queue.

A connection has no timer of its own: the server sweeps over all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import structlog

from gateway.core.errors import GatewayError
from gateway.edge.errors import SlowRequest
from gateway.edge.http1_reader import SLICE, RequestReader
from gateway.edge.http_answer import encode_answer
from gateway.edge.http_message import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from gateway.edge.config import EdgeConfig
    from gateway.edge.http_answer import DateHeader
    from gateway.edge.http_exchange import HttpExchange

__all__ = ["Connection", "Owner"]

log = structlog.get_logger()

_MAX_AHEAD = 16
"""Requests that may wait behind the one being answered before reading stops."""
_MAX_AHEAD_BYTES = 256 * 1024
"""Likewise of their bodies."""
_LINGER_S = 2.0
"""How long the rest of a refused body is read and dropped, so that the client sees the answer and not a reset."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_Work: TypeAlias = tuple[HttpRequest, str, GatewayError | None]
"""A request, its answer's ``Connection`` header, and why it is refused if it could not be read."""


class Owner(Protocol):
    """What a connection asks of its server."""

    config: EdgeConfig
    exchange: HttpExchange
    date: DateHeader
    now: float
    """The loop's time at the last sweep: good enough for limits of seconds, and free."""
    is_draining: bool

    def opened(self, connection: Connection) -> None: ...
    def settled(self) -> None:
        """Called during a drain when a connection has become idle or is gone."""

    def gone(self, connection: Connection, task: asyncio.Task[None] | None) -> None: ...


class Connection(asyncio.Protocol):
    """Driven by the loop, which calls the methods of ``asyncio.Protocol``, and by its server."""

    __slots__ = (
        "_ahead",
        "_ahead_bytes",
        "_farewell",
        "_is_deaf",
        "_is_paused",
        "_is_reading_body",
        "_loop",
        "_owner",
        "_reader",
        "_since",
        "_stalled_size",
        "_task",
        "_transport",
        "_unfed",
        "_writable",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: RequestReader
        self._task: asyncio.Task[None] | None = None
        """Answers until nothing waits."""
        self._ahead: deque[_Work] = deque()
        self._ahead_bytes = 0
        self._unfed = b""
        """Received, and not yet given to the reader."""
        self._is_paused = False
        self._is_deaf = False
        """Whether what still comes is dropped, because this connection ends with an answer that is known."""
        self._is_reading_body = False
        self._since = 0.0
        """When what is being waited for began."""
        self._writable: asyncio.Future[None] | None = None
        """There while the client does not read."""
        self._stalled_size = 0
        self._farewell: asyncio.TimerHandle | None = None
        """Closes after a refusal, should the client not do it."""

    @property
    def is_busy(self) -> bool:
        """Whether a request has arrived, at least its head, and is not answered."""
        return self._task is not None or (self._is_reading_body and not self._is_deaf)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._reader = RequestReader(self._owner.config, peer[0] if isinstance(peer, tuple) else "", self._arrived)
        self._since = self._owner.now
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._unfed:  # what had been read before the pause took effect
            self._unfed += data
        else:
            self._feed(data)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._is_deaf, self._is_reading_body = True, False
        task, self._task = self._task, None
        if task is not None and not task.cancelling():
            task.cancel()
        if self._farewell is not None:
            self._farewell.cancel()
        self._ahead.clear()
        self._unfed = b""
        self._reader.close()
        self._owner.gone(self, task)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        self._since, self._stalled_size = self._owner.now, -1

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # What the server calls.

    def sweep(self, now: float, slack: float) -> None:
        """Ends what has waited too long; never early, and ``slack`` is how far ``now`` may lie behind."""
        transport = self._transport
        if transport is None:
            return
        waited = now - self._since - slack
        idle_timeout = self._owner.config.idle_timeout_ms / 1000
        if self._writable is not None:
            size = transport.get_write_buffer_size()
            if size != self._stalled_size:
                self._since, self._stalled_size = now, size
            elif waited > idle_timeout:
                transport.abort()
        elif self._task is not None:
            return
        elif self._is_deaf:
            if waited > idle_timeout:  # the last answer is not taken
                transport.abort()
        elif self._is_reading_body:
            limit_ms = self._owner.config.body_timeout_ms
            if waited > limit_ms / 1000:
                self._refuse(SlowRequest(f"the body did not arrive within {limit_ms} ms"))
        elif waited > idle_timeout:
            transport.close()

    def close(self) -> None:
        """Cancels what is being answered; what has been written still leaves."""
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes without waiting for the client to read."""
        if self._transport is not None:
            self._transport.abort()

    # Reading.

    def _feed(self, data: bytes) -> None:
        reader = self._reader
        try:
            if len(data) <= SLICE:
                reader.feed(data)
            else:
                self._feed_slices(data)
        except GatewayError as error:
            self._refuse(error)
            return
        if reader.request is not None:
            if not self._is_reading_body:
                self._is_reading_body, self._since = True, self._owner.now
            if reader.expects_continue:
                self._tell_to_continue()
        if self._task is not None and (self._unfed or not self._has_room()):
            self._pause()

    def _feed_slices(self, data: bytes) -> None:
        view = memoryview(data)
        for at in range(0, len(data), SLICE):
            if self._is_deaf:
                return
            if not self._has_room():
                self._unfed = data[at:]
                return
            self._reader.feed(view[at : at + SLICE])

    def _has_room(self) -> bool:
        return self._task is None or (
            len(self._ahead) < _MAX_AHEAD and self._ahead_bytes + self._reader.body_bytes < _MAX_AHEAD_BYTES
        )

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        """Goes on reading as far as there is room, with what was left lying first."""
        while self._unfed and self._has_room() and not self._is_deaf:
            data, self._unfed = self._unfed, b""
            self._feed(data)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._is_deaf or (not self._unfed and self._has_room()):
            self._is_paused, self._unfed = False, b""
            transport.resume_reading()

    def _arrived(self, request: HttpRequest, connection: str) -> None:
        self._is_reading_body = False
        if not self._is_deaf:
            self._is_deaf = connection == "close"
            self._enqueue((request, connection, None))

    def _refuse(self, error: GatewayError) -> None:
        """What follows cannot be understood, or is not wanted: the refusal is the last answer."""
        if not self._is_deaf:
            self._is_deaf, self._is_reading_body = True, False
            self._enqueue((self._reader.known(), "close", error))

    def _enqueue(self, work: _Work) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._work(work))
        else:
            self._ahead.append(work)
            self._ahead_bytes += len(work[0].body)

    def _tell_to_continue(self) -> None:
        """Not before the answers that are due first."""
        if self._task is None and self._transport is not None:
            self._reader.expects_continue = False
            self._transport.write(_CONTINUE)

    # Answering.

    async def _work(self, work: _Work) -> None:
        """Answers ``work``, and what has come behind it meanwhile."""
        is_clean = False
        try:
            while True:
                request, connection, error = work
                if error is None:
                    response = await self._owner.exchange(request)
                else:
                    response = self._owner.exchange.refuse(request, error)
                if self._owner.is_draining and not self._ahead:
                    connection = "close"
                self._write(request, response, connection)
                if connection == "close":
                    self._end(lingers=error is not None)
                    break
                if self._writable is not None:
                    await self._writable
                if self._is_paused:
                    self._resume()
                if not self._ahead:
                    break
                work = self._ahead.popleft()
                self._ahead_bytes -= len(work[0].body)
            is_clean = True
        finally:
            if not is_clean and self._transport is not None:
                self._transport.close()
        self._rest()

    def _write(self, request: HttpRequest, response: HttpResponse, connection: str) -> None:
        try:
            data = encode_answer(response, self._owner.date(), connection, has_body=request.method != "HEAD")
        except ValueError:
            log.exception("edge.answer_broken", request_id=request.id)
            data = encode_answer(HttpResponse(500), self._owner.date(), connection)
        if self._transport is not None:
            self._transport.write(data)

    def _rest(self) -> None:
        """Nothing is left to answer."""
        self._task = None
        self._since = self._owner.now
        if self._is_paused:
            self._resume()
        if self._reader.expects_continue:
            self._tell_to_continue()
        if self._owner.is_draining:
            self._owner.settled()

    def _end(self, *, lingers: bool) -> None:
        transport = self._transport
        self._is_deaf = True
        if transport is None:
            return
        if not lingers:
            transport.close()
            return
        if transport.can_write_eof():
            transport.write_eof()
        self._farewell = self._loop.call_later(_LINGER_S, self.close)
