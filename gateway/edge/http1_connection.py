"""
One HTTP/1.1 connection: its requests go to the exchange one after another, and their answers out in one write each.

Only one request of a connection is worked on at a time, and nothing is begun for a client that does not read its
answers. When the client goes, its request is cancelled. Closing only its sending half counts as going: over TCP the two
look the same, and rows of those who left must leave the queue.

A connection has no timer of its own: the server sweeps over all of them. Whatever a client makes us wait for, a head, a
body, or that it takes its answer, has one deadline, which no trickle of bytes puts off.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog

from gateway.edge.errors import SlowRequest
from gateway.edge.http1_reader import RequestReader
from gateway.edge.http1_receiver import Receiver, Work
from gateway.edge.http_answer import encode_answer
from gateway.edge.http_listener import LINGER_S
from gateway.edge.http_message import HttpResponse
from gateway.edge.peer_certificate import certificate_of

if TYPE_CHECKING:
    from gateway.edge.http1_owner import Owner

__all__ = ["Connection"]

log = structlog.get_logger()


class Connection(Receiver):
    """Driven by the loop, which calls the methods of ``asyncio.Protocol``, and by its server."""

    __slots__ = ("_farewell", "_is_reading_head", "_writable")

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._is_reading_head = False
        """Whether the last sweep found the beginning of one."""
        self._writable: asyncio.Future[None] | None = None
        """There while the client does not read."""
        self._farewell: asyncio.TimerHandle | None = None
        """Closes after a refusal, should the client not do it."""

    @property
    def is_busy(self) -> bool:
        """Whether a request has arrived, at least its head, and is not answered."""
        return self._is_answering or (self._is_reading_body and not self._is_deaf)

    @property
    def peer(self) -> str:
        """Whose it is, once it is made."""
        return self._reader.peer

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        self._reader = RequestReader(self._owner.config, address, self._arrived, certificate_of(transport))
        self._since = self._owner.now
        self._owner.opened(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._is_deaf, self._is_reading_body = True, False
        self._dismiss()
        task, self._task = self._task, None
        if task is not None and not task.cancelling():
            task.cancel()
        if self._farewell is not None:
            self._farewell.cancel()
        self._ahead = None
        self._unfed = b""
        if self._held:
            self._hold(0)
        self._reader.close()
        self._owner.gone(self, task)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        self._since = self._owner.now

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
        config = self._owner.config
        idle_s, body_s = config.idle_timeout_ms / 1000, config.body_timeout_ms / 1000
        if self._writable is not None:
            if waited > body_s:  # the answer is not taken
                transport.abort()
        elif self._is_answering:
            return
        elif self._is_deaf:
            if waited > idle_s:  # nor the rest of the last one
                transport.abort()
        elif self._is_reading_body:
            if waited > body_s:
                self._refuse(SlowRequest(f"the body did not arrive within {config.body_timeout_ms} ms"))
        elif not self._reader.is_in_head:
            self._is_reading_head = False
            if waited > 0:
                self._dismiss()
            if waited > idle_s:
                self._leave(transport)
        elif not self._is_reading_head:
            self._is_reading_head, self._since = True, now
        elif waited > idle_s:
            self._refuse(SlowRequest(f"the headers did not arrive within {config.idle_timeout_ms} ms"))

    @staticmethod
    def _leave(transport: asyncio.Transport) -> None:
        """A transport that still holds bytes of an answer would wait for them to be taken."""
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    def close(self) -> None:
        """Cancels what is being answered; what has been written still leaves."""
        self._dismiss()
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()
        # Closed twice, a transport of asyncio 3.11 can not be aborted any more.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        """Closes without waiting for the client to read; what still comes is dropped."""
        self._is_deaf = True
        if self._transport is not None:
            self._transport.abort()

    # Answering.

    async def _work(self, work: Work | None) -> None:
        owner = self._owner
        is_clean = False
        try:
            while work is not None:
                request, connection, error = work
                if error is None:
                    response = await owner.exchange(request)
                else:
                    response = owner.exchange.refuse(request, error)
                if owner.is_draining and not self._ahead:
                    connection = "close"
                try:
                    data = encode_answer(response, owner.clock(), connection, has_body=request.method != "HEAD")
                except ValueError:
                    log.exception("edge.answer_broken", request_id=request.id)
                    data = encode_answer(HttpResponse(500, id=request.id), owner.clock(), connection)
                transport = self._transport
                if transport is not None:
                    transport.write(data)
                if connection == "close":
                    self._end(lingers=error is not None)
                    self._task = None
                    self._is_answering, self._since = False, owner.now
                    self._rest()
                    break
                if self._writable is not None:
                    await self._writable
                if self._ahead:
                    work = self._ahead.popleft()
                    self._ahead_bytes -= len(work[0].body)
                    if self._is_paused:
                        self._resume()
                else:
                    # A client that is silent costs no memory for the last one.
                    del work, request, response, error, data
                    self._next = coming = self._loop.create_future()
                    self._is_answering, self._since = False, owner.now
                    if self._is_paused or self._reader.expects_continue or owner.is_draining:
                        self._rest()
                    work = await coming
            is_clean = True
        finally:
            if not is_clean and self._transport is not None:
                self._transport.close()

    def _rest(self) -> None:
        """What was put off until nothing is left to answer."""
        if self._is_paused:
            self._resume()
        if self._reader.expects_continue:
            self._tell_to_continue()
        if self._owner.is_draining:
            self._owner.settled(self)

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
        self._farewell = self._loop.call_later(LINGER_S, self.close)
