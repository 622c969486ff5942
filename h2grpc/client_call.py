"""
One call from the caller's side, from before it has a connection until its outcome is known.

A call needs no task: what arrives is put here by the connection, and whoever awaits is woken. Requests are kept until
the answer begins, as far as they are small, so that a call that the server did not look at can be sent again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from h2grpc import metadata as wire_metadata
from h2grpc.errors import WireError
from h2grpc.events import CallEnded, Headers
from h2grpc.metadata import Metadata
from h2grpc.rpc_error import EOF, EndOfStream, RpcError
from h2grpc.status import Status

if TYPE_CHECKING:
    from h2grpc.call import Call
    from h2grpc.channel import Channel
    from h2grpc.client_driver import ClientDriver

__all__ = ["ClientCall", "Method"]

CANCELLED_HERE = "cancelled by the caller"


@dataclass(frozen=True, slots=True)
class Method:
    path: bytes
    serialize: Callable[[Any], bytes] | None
    deserialize: Callable[[bytes], Any] | None
    is_unary: bool
    """Exactly one answer is expected."""


class ClientCall:
    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_channel",
        "_driver",
        "_end_waiters",
        "_headers",
        "_headers_waiters",
        "_initial",
        "_is_half_closed",
        "_is_local",
        "_listener",
        "_messages",
        "_method",
        "_outbox",
        "_outbox_size",
        "_reader",
        "_tries",
        "_writer",
        "cause",
        "compression",
        "deadline",
        "details",
        "loop",
        "sender",
        "status",
        "trailing",
        "waits_for_ready",
        "wire",
    )

    def __init__(
        self,
        channel: Channel,
        method: Method,
        headers: list[tuple[bytes, bytes]],
        *,
        deadline: float | None,
        waits_for_ready: bool,
        compression: str | None,
    ) -> None:
        self.wire: Call | None = None
        """While the call is on a connection."""
        self.deadline, self.waits_for_ready, self.compression = deadline, waits_for_ready, compression
        self.status: Status | None = None
        self.details = ""
        self.trailing: Metadata = ()
        self.sender: asyncio.Task[None] | None = None
        """Reads the caller's iterator of requests."""
        self.cause: BaseException | None = None
        """What the caller's iterator of requests raised."""
        self.loop = channel.loop
        self._channel, self._method, self._headers = channel, method, headers
        self._driver: ClientDriver | None = None
        self._initial: Metadata | None = None
        self._messages: deque[bytes] = deque()
        self._outbox: list[bytes] | None = []
        """Requests from the first on; None once they need not be kept."""
        self._outbox_size = 0
        self._is_half_closed = self._is_local = False
        self._tries = 0
        self._listener: Callable[[Any], None] | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._headers_waiters: list[asyncio.Future[None]] | None = None
        self._end_waiters: list[asyncio.Future[None]] | None = None
        self._callbacks: list[Callable[[], None]] | None = None

    # For the caller

    def send(self, request: Any) -> None:
        """Queue one message; the caller has looked whether the call still takes any."""
        serialize = self._method.serialize
        data = request if serialize is None else serialize(request)
        limit = self._channel.config.limits.max_send_message
        if limit is not None and len(data) > limit:
            self._drop_wire()
            self.finish(Status.RESOURCE_EXHAUSTED, f"a message of {len(data)} bytes; the limit is {limit}")
            return
        outbox = self._outbox
        if outbox is not None:
            outbox.append(data)
            self._outbox_size += len(data)
            self._trim()
        if (wire := self.wire) is not None:
            self._driver.send(wire, data)  # type: ignore[union-attr]

    def end(self) -> None:
        """Nothing more to send."""
        if self._is_half_closed or self.status is not None:
            return
        self._is_half_closed = True
        if (wire := self.wire) is not None:
            self._driver.end(wire)  # type: ignore[union-attr]

    async def write(self, request: Any) -> None:
        """Waits while too much of this call is unsent."""
        if self.status is not None:
            raise self._failure() or asyncio.InvalidStateError("the call has ended")
        if self._is_half_closed:
            raise asyncio.InvalidStateError("done_writing was called")
        self.send(request)
        wire = self.wire
        if self.status is not None:
            self._end_of_stream()
        elif wire is None:
            if self._outbox_size > self._channel.config.limits.max_unsent:
                await self._wait_for_room()
        elif not self._driver.may_write(wire):  # type: ignore[union-attr]
            await self._wait_for_room()

    def write_nowait(self, request: Any) -> bool:
        """Send one message if that takes no waiting; else nothing is done, and ``write`` says why or waits."""
        wire = self.wire
        if wire is None or self.status is not None or self._is_half_closed:
            return False
        if not self._driver.may_write(wire):  # type: ignore[union-attr]
            return False
        self.send(request)
        return True

    def listen(self, listener: Callable[[Any], None]) -> None:
        """
        Hand every answer to ``listener`` in the turn of the loop in which it arrives; ``read`` then only tells the end.

        Half as expensive as a task that reads. The listener must not raise: it runs in the middle of the connection.
        """
        self._listener = listener
        while self._messages:
            self._hand_over(self._messages.popleft())

    async def done_writing(self) -> None:
        self.end()

    async def read(self) -> Any:
        """The next answer, or ``EOF``."""
        messages = self._messages
        if not messages:
            if self.status is None:
                await self._wait_for_message()
            if not messages:
                return self._end_of_stream()
        data = messages.popleft()
        if (wire := self.wire) is not None:
            self._driver.consumed(wire, len(data))  # type: ignore[union-attr]
        deserialize = self._method.deserialize
        return data if deserialize is None else deserialize(data)

    def outcome(self) -> Any:
        """The one answer of an ended call."""
        if (failure := self._failure()) is not None:
            raise failure
        deserialize = self._method.deserialize
        data = self._messages[0]
        return data if deserialize is None else deserialize(data)

    def cancel(self, details: str = CANCELLED_HERE) -> bool:
        if self.status is not None:
            return False
        self._is_local = True
        self._drop_wire()
        self._messages.clear()
        self.finish(Status.CANCELLED, details)
        return True

    def end_waiter(self) -> asyncio.Future[None]:
        waiter = self.loop.create_future()
        if self._end_waiters is None:
            self._end_waiters = []
        self._end_waiters.append(waiter)
        return waiter

    async def initial_metadata(self) -> Metadata:
        if self._initial is None and self.status is None:
            waiter = self.loop.create_future()
            if self._headers_waiters is None:
                self._headers_waiters = []
            self._headers_waiters.append(waiter)
            await waiter
        return self._initial or ()

    @property
    def is_cancelled(self) -> bool:
        return self.status is Status.CANCELLED and self._is_local

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        if self.status is not None:
            callback()
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    # For the channel and the connection

    def start(self, driver: ClientDriver) -> None:
        """On this connection now: everything that was queued goes out."""
        self._tries += 1
        self._driver = driver
        self.wire = wire = driver.start(self, self._method.path, self._headers)
        for data in self._outbox or ():
            driver.send(wire, data)
        if self._is_half_closed:
            driver.end(wire)
        self._trim()
        if self._writer is not None:
            driver.block(self)

    def on_headers(self, headers: Headers) -> None:
        self._outbox = None
        try:
            self._initial = wire_metadata.decode(headers, self._channel.config.limits.max_metadata)
        except WireError as error:
            self._drop_wire()
            self.finish(error.status, str(error))
            return
        _wake(self._headers_waiters)
        self._headers_waiters = None

    def on_message(self, data: bytes) -> None:
        if self._listener is not None:
            self._hand_over(data)
            return
        messages = self._messages
        messages.append(data)
        reader = self._reader
        if reader is not None:
            if not reader.done():
                reader.set_result(None)
        elif self._method.is_unary:
            if self.wire is not None:
                self._driver.consumed(self.wire, len(data))  # type: ignore[union-attr]
            if len(messages) > 1:
                self._drop_wire()
                self.finish(Status.INTERNAL, "the server sent more than one answer")

    def _hand_over(self, data: bytes) -> None:
        if (wire := self.wire) is not None:
            self._driver.consumed(wire, len(data))  # type: ignore[union-attr]
        deserialize = self._method.deserialize
        assert self._listener is not None  # noqa: S101  # asked only where there is one
        self._listener(data if deserialize is None else deserialize(data))

    def on_writable(self) -> None:
        writer = self._writer
        if writer is not None and not writer.done():
            writer.set_result(None)

    def on_end(self, event: CallEnded) -> None:
        self.wire = None
        if self._driver is not None:
            self._driver.unblock(self)
        if event.is_unprocessed and self._outbox is not None and self._channel.retry(self, self._tries):
            return
        status, details = event.status, event.details
        try:
            if event.trailers:
                self.trailing = wire_metadata.decode(event.trailers, self._channel.config.limits.max_metadata)
        except WireError as error:
            status, details = error.status, str(error)
        if status is Status.OK and self._method.is_unary and not self._messages:
            status, details = Status.INTERNAL, "the server sent no answer"
        self.finish(status, details)

    def finish(self, status: Status, details: str) -> None:
        """The outcome is known; the call is on no connection any more."""
        if self.status is not None:
            return
        self.status, self.details = status, details
        self._outbox = None
        if self.sender is not None and self.sender is not asyncio.current_task():
            self.sender.cancel()
        for future in (self._reader, self._writer):
            if future is not None and not future.done():
                future.set_result(None)
        _wake(self._headers_waiters)
        _wake(self._end_waiters)
        for callback in self._callbacks or ():
            self.loop.call_soon(callback)
        self._headers_waiters = self._end_waiters = self._callbacks = None
        self._channel.on_finished(self)

    def _trim(self) -> None:
        """What is sent and too much to keep is given up, and with it the chance to send it again."""
        if self.wire is not None and self._outbox_size > self._channel.config.max_replay:
            self._outbox = None

    def _drop_wire(self) -> None:
        wire, self.wire = self.wire, None
        if wire is not None and self._driver is not None:
            self._driver.unblock(self)
            self._driver.cancel(wire)

    def _failure(self) -> BaseException | None:
        if self.status is Status.OK:
            return None
        if self.is_cancelled and self.cause is None:
            return asyncio.CancelledError()
        assert self.status is not None  # noqa: S101  # asked only of calls that ended
        failure = RpcError(self.status, self.details, self._initial or (), self.trailing)
        failure.__cause__ = self.cause
        return failure

    def _end_of_stream(self) -> EndOfStream:
        if (failure := self._failure()) is not None:
            raise failure
        return EOF

    async def _wait_for_message(self) -> None:
        if self._reader is not None:
            raise asyncio.InvalidStateError("somebody else reads this call already")
        self._reader = reader = self.loop.create_future()
        try:
            await reader
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._reader = None

    async def _wait_for_room(self) -> None:
        if self._writer is not None:
            raise asyncio.InvalidStateError("somebody else writes to this call already")
        self._writer = writer = self.loop.create_future()
        if self.wire is not None and self._driver is not None:
            self._driver.block(self)
        try:
            await writer
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._writer = None
            if self._driver is not None:
                self._driver.unblock(self)
        if self.status is not None and (failure := self._failure()) is not None:
            raise failure


def _wake(waiters: list[asyncio.Future[None]] | None) -> None:
    for waiter in waiters or ():
        if not waiter.done():
            waiter.set_result(None)
