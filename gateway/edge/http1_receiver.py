"""
The receiving half of an HTTP/1.1 connection: bytes to the reader, and how far ahead of its answers a client may send.

While a request is being answered more may come. What waits is bounded, in requests and in bytes; at the limit the
socket is not read any more, and what had been read beyond it waits as bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from gateway.core.errors import GatewayError, Overloaded
from gateway.edge.http1_reader import SLICE, RequestReader
from gateway.edge.http_message import HttpRequest

if TYPE_CHECKING:
    from gateway.edge.http1_owner import Owner

__all__ = ["Receiver", "Work"]

_MAX_AHEAD = 16
"""Requests that may wait behind the one being answered before reading stops."""
_MAX_AHEAD_BYTES = 256 * 1024
"""Likewise of their bodies."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Work: TypeAlias = tuple[HttpRequest, str, GatewayError | None]
"""A request, its answer's ``Connection`` header, and why it is refused if it could not be read."""


class Receiver(asyncio.Protocol):
    """
    What arrives is given to the task that answers, or waits in ``_ahead`` while that is at work.

    The task is made when something arrives and none is there. Having answered it waits a while for more, because most
    clients soon have more, and a task costs more to make than to wake. ``_dismiss`` ends the wait.
    """

    __slots__ = (
        "_ahead",
        "_ahead_bytes",
        "_held",
        "_is_answering",
        "_is_deaf",
        "_is_paused",
        "_is_reading_body",
        "_loop",
        "_next",
        "_owner",
        "_reader",
        "_since",
        "_task",
        "_transport",
        "_unfed",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: RequestReader
        self._task: asyncio.Task[None] | None = None
        """Answers whatever comes; there may be one that has nothing to do."""
        self._next: asyncio.Future[Work | None] | None = None
        """What a task with nothing to do waits for; None tells it to end."""
        self._is_answering = False
        self._ahead: deque[Work] | None = None
        """Made when first needed: most clients wait for their answer."""
        self._ahead_bytes = 0
        self._unfed = b""
        """Received, and not yet given to the reader."""
        self._is_paused = False
        self._is_deaf = False
        """Whether what still comes is dropped, because this connection ends with an answer that is known."""
        self._is_reading_body = False
        self._held = 0
        """Bytes of an unfinished body that the server was told of."""
        self._since = 0.0
        """When what is being waited for began."""

    async def _work(self, work: Work) -> None:
        """Answers ``work``, what has come behind it meanwhile, and what comes after it."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._unfed:  # what had been read before the pause took effect
            self._unfed += data
            return
        if not self._is_answering:  # then all that a plain request needs is to be begun
            reader = self._reader
            head = reader.remembered
            if head is not None and reader.is_between and (request := head.again(data)) is not None:
                if head.lacks:
                    reader.withhold(data, request, head.lacks)
                    self._is_reading_body, self._since = True, self._owner.now
                else:
                    self._begin((request, "", None))
                return
        self._feed(data)

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
            if reader.body_bytes:
                self._hold(reader.body_bytes)
        elif self._held:
            self._hold(0)
        if self._is_answering and (self._unfed or not self._has_room()):
            self._pause()

    def _hold(self, size: int) -> None:
        """Only for bodies that come in pieces: nobody is admitted yet, and all of these together have a limit too."""
        owner = self._owner
        owner.held += size - self._held
        self._held = size
        if size and owner.held > owner.config.max_in_flight_bytes:
            self._refuse(Overloaded(f"{owner.held} bytes of unfinished requests are held"))

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
        if not self._is_answering:
            return True
        waiting = 0 if self._ahead is None else len(self._ahead)
        return waiting < _MAX_AHEAD and self._ahead_bytes + self._reader.body_bytes < _MAX_AHEAD_BYTES

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
            self._reader.drop_body()
            if self._held:
                self._hold(0)

    def _enqueue(self, work: Work) -> None:
        if not self._is_answering:
            self._begin(work)
            return
        if self._ahead is None:
            self._ahead = deque()
        self._ahead.append(work)
        self._ahead_bytes += len(work[0].body)

    def _begin(self, work: Work) -> None:
        self._is_answering = True
        coming = self._next
        if coming is not None:
            self._next = None
            try:
                coming.set_result(work)
            except asyncio.InvalidStateError:  # who waited was cancelled when the loop was closed
                pass
            else:
                return
        self._task = self._loop.create_task(self._work(work))

    def _dismiss(self) -> None:
        """A task that has nothing to do ends."""
        coming, self._next = self._next, None
        if coming is not None:
            self._task = None
            if not coming.done():
                coming.set_result(None)

    def _tell_to_continue(self) -> None:
        """Not before the answers that are due first."""
        if not self._is_answering and self._transport is not None:
            self._reader.expects_continue = False
            self._transport.write(_CONTINUE)
