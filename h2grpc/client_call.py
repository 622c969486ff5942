"""
One call from the caller's side, from before it has a connection until its outcome is known.

A call needs no task: what arrives is put here by the connection, and whoever awaits is woken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from h2grpc import metadata as wire_metadata
from h2grpc.errors import WireError
from h2grpc.events import CallEnded, Headers
from h2grpc.metadata import Metadata
from h2grpc.requesting import Method, Requesting
from h2grpc.rpc_error import EOF, EndOfStream, RpcError
from h2grpc.status import Status

if TYPE_CHECKING:
    from h2grpc.channel import Channel

__all__ = ["ClientCall", "Method"]

CANCELLED_HERE = "cancelled by the caller"


class ClientCall(Requesting):
    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_end_waiters",
        "_headers_waiters",
        "_initial",
        "_is_local",
        "_messages",
        "_reader",
        "cause",
        "details",
        "sender",
        "trailing",
        "waits_for_ready",
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
        super().__init__(channel, method, headers, deadline, compression)
        self.waits_for_ready = waits_for_ready
        self.details = ""
        self.trailing: Metadata = ()
        self.sender: asyncio.Task[None] | None = None
        """Reads the caller's iterator of requests."""
        self.cause: BaseException | None = None
        """What the caller's iterator of requests raised."""
        self._initial: Metadata | None = None
        self._messages: deque[bytes] = deque()
        self._is_local = False
        self._reader: asyncio.Future[None] | None = None
        self._headers_waiters: list[asyncio.Future[None]] | None = None
        self._end_waiters: list[asyncio.Future[None]] | None = None
        self._callbacks: list[Callable[[], None]] | None = None

    # For the caller

    def listen(self, listener: Callable[[Any], None]) -> None:
        """
        Hand every answer to ``listener`` in the turn of the loop in which it arrives; ``read`` then only tells the end.

        Half as expensive as a task that reads. The listener must not raise: it runs in the middle of the connection.
        """
        deserialize = self._method.deserialize
        self.listener = listen = listener if deserialize is None else lambda data: listener(deserialize(data))
        if self.wire is not None:
            self.wire.listener = listen
        while self._messages:
            data = self._messages.popleft()
            if (wire := self.wire) is not None:
                self._driver.consumed(wire, len(data))  # type: ignore[union-attr]
            listen(data)

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


def _wake(waiters: list[asyncio.Future[None]] | None) -> None:
    for waiter in waiters or ():
        if not waiter.done():
            waiter.set_result(None)
