"""
What a handler does with its call: the part of ``grpc.aio.ServicerContext`` that servicers use, besides
``caller_facts``.

Statuses may be given as ``h2grpc.Status``, as numbers or as ``grpc.StatusCode``. A handler is cancelled when its caller
leaves, its deadline passes or the connection is lost; nothing it does afterwards reaches anybody.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from h2grpc import metadata
from h2grpc.caller_facts import CallerFacts
from h2grpc.errors import WireError
from h2grpc.handlers import Method
from h2grpc.metadata import Metadata
from h2grpc.rpc_error import EOF
from h2grpc.status import Status, status_of

__all__ = ["MORE_MESSAGES", "NO_MESSAGE", "AbortError", "ServicerContext", "UsageError"]

NO_MESSAGE = "no message for a method that takes one"
MORE_MESSAGES = "more than one message for a method that takes one"


class AbortError(Exception):
    """Raised by ``abort``: the call is over."""


class UsageError(Exception):
    """The handler did something that its call does not allow any more."""


class ServicerContext(CallerFacts):
    """
    Of one call, and of use on its loop's thread only.

    It is the call itself, with what a driver adds when its handler starts: most calls are short, and one object is made
    in half the time of two that know each other. Handlers use what ``grpc.aio.ServicerContext`` has and nothing else.
    """

    method: Method
    task: asyncio.Task[None] | None = None
    request: bytes | None = None
    """The message of a method that takes one."""
    unblocked: asyncio.Future[None] | None = None
    """Somebody waits in ``write`` for the caller to read."""
    _inbox: deque[bytes]
    _waiter: asyncio.Future[None] | None = None
    is_over = True
    """Until its handler is wanted: of a call that never had one nobody has to be told, and not much is set."""
    is_plain = True
    """
    Whether the call goes on, and nothing was sent or said that keeps the shortest answer from doing; metadata at the
    end does not.
    """
    trailing: Metadata = ()
    trailing_headers: Sequence[tuple[bytes, bytes]] | None = None
    """As they go out, where they were given so; then ``trailing`` does not count."""
    _code: Status | None = None
    _details = ""
    callbacks: list[Callable[[Any], None]] | None = None
    _listener: Callable[[Any], None] | None = None
    _is_half_closed = False
    _is_cancelled = False

    # The answer

    async def send_initial_metadata(self, initial_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self._check_open()
        self.driver.send_headers(self, initial_metadata)

    def set_trailing_metadata(self, trailing_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self.trailing, self.trailing_headers = tuple(trailing_metadata), None

    def set_trailing_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """
        The same for who knows what ``set_trailing_metadata`` would make of it, and hands over that: nothing is checked.

        For values that callers have no part in. grpc.aio has no such thing.
        """
        self.trailing_headers = headers

    def trailing_metadata(self) -> Metadata:
        return self.trailing if self.trailing_headers is None else metadata.decode(self.trailing_headers)

    def set_code(self, code: object) -> None:
        self._code, self.is_plain = status_of(code), False

    def code(self) -> Any:
        """As it will be sent; a number that compares with ``h2grpc.Status``."""
        return Status.OK if self._code is None else self._code

    def set_details(self, details: str) -> None:
        self._details, self.is_plain = details, False

    def details(self) -> str:
        return self._details

    def set_compression(self, compression: object) -> None:
        """``gzip``, ``deflate``, ``identity``, or grpcio's names for them; ignored if the caller cannot read it."""
        name = compression if isinstance(compression, str) else getattr(compression, "name", "identity").lower()
        self.driver.choose_compression(self, {"nocompression": "identity"}.get(name, name))

    async def abort(
        self, code: object, details: str = "", trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        """End the call with an error, by raising."""
        status = status_of(code)
        if status is Status.OK:
            status, details = Status.UNKNOWN, "abort with OK"
        extra = tuple(trailing_metadata)
        if extra:
            self.set_trailing_metadata(extra)
        self.driver.finish(self, status, details)
        raise AbortError(details)

    async def abort_with_status(self, status: Any) -> NoReturn:
        """``status`` has ``code``, ``details`` and ``trailing_metadata``, as ``grpc.Status`` has."""
        await self.abort(status.code, status.details, status.trailing_metadata or ())

    # Messages

    async def read(self) -> Any:
        """The caller's next message; ``EOF`` when there are no more, which is grpcio's own where that is in use."""
        data = await self._take()
        if data is None:
            aio = sys.modules.get("grpc.aio")
            return EOF if aio is None else aio.EOF
        return self.method.read(data)

    async def write(self, message: Any) -> None:
        """Returns when there is room for more: at once, unless the caller reads slowly."""
        self._check_open()
        self.driver.send_message(self, self.serialized(message))
        if not self.driver.may_write(self):
            await self.driver.wait_until_writable(self)

    def listen(self, listener: Callable[[Any], None]) -> None:
        """
        Hand every message to ``listener`` in the turn of the loop in which it comes; ``read`` then only tells the end.

        As ``ClientCall.listen``, for handlers that take messages of a stream and need no task for that; grpc.aio has no
        such thing. The listener must not raise: it runs in the middle of the connection.
        """
        self._listener = listener
        while self._inbox and not self.is_over:
            self._hand_over(self._inbox.popleft())

    def write_nowait(self, message: Any) -> bool:
        """Send one message if that takes no waiting; else nothing is done, and ``write`` says why or waits."""
        return not self.is_over and self.driver.send_now(self, self.serialized(message))

    def __aiter__(self) -> ServicerContext:
        """The context is the handler's request iterator too."""
        return self

    async def __anext__(self) -> Any:
        data = await self._take()
        if data is None:
            raise StopAsyncIteration
        return self.method.read(data)

    async def _take(self) -> bytes | None:
        """None when the caller sends no more."""
        while not self._inbox:
            if self._is_half_closed:
                return None
            if self.is_over:
                raise asyncio.CancelledError
            if self._waiter is not None:
                raise UsageError("somebody is reading already")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._inbox.popleft()
        self.driver.consumed(self, len(data))
        return data

    async def only_message(self) -> bytes:
        """The message of a method that takes one, where that was not known when it came."""
        data = await self._take()
        if data is None:
            await self.abort(Status.UNIMPLEMENTED, NO_MESSAGE)
        if await self._take() is not None:
            await self.abort(Status.UNIMPLEMENTED, MORE_MESSAGES)
        return data

    # The end

    def cancelled(self) -> bool:
        return self._is_cancelled

    def done(self) -> bool:
        return self.is_over

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Called with this context once the call is over, however it ended."""
        if self.is_over:
            callback(self)
        elif self.callbacks is None:
            self.callbacks = [callback]
        else:
            self.callbacks.append(callback)

    # For the driver

    def serialized(self, message: Any) -> bytes:
        serialize = self.method.serialize
        return message if serialize is None else serialize(message)

    def open_inbox(self) -> None:
        """Of a method that takes a stream, before anything comes."""
        self._inbox = deque()

    def deliver(self, data: bytes) -> None:
        if self._listener is not None:
            self._hand_over(data)
            return
        self._inbox.append(data)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def half_close(self) -> None:
        self._is_half_closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self, *, is_cancelled: bool) -> None:
        """The call is over: let go of whoever still waits for it."""
        if self.is_over:
            return
        self.is_over, self.is_plain, self._is_cancelled = True, False, is_cancelled
        if self.callbacks is not None:
            self.tell()
        self.request = None
        if self.method.request_streaming:
            self._inbox.clear()
        for waiter in (self._waiter, self.unblocked):
            if waiter is not None and not waiter.done():
                waiter.cancel()

    def tell(self) -> None:
        """Those who asked to be told of the end."""
        for callback in self.callbacks or ():
            self.driver.call_back(callback, self)

    def trailers(self) -> Sequence[tuple[bytes, bytes]]:
        if self.trailing_headers is not None:
            return self.trailing_headers
        return metadata.encode(self.trailing) if self.trailing else ()

    def _hand_over(self, data: bytes) -> None:
        if self.unacknowledged or self.charged:
            self.driver.consumed(self, len(data))
        else:  # all that this would do, as for nearly every message
            self.unread = max(0, self.unread - len(data))
        try:
            message = self.method.read(data)
        except WireError as error:
            self.driver.finish(self, error.status, str(error))
            return
        assert self._listener is not None  # noqa: S101  # asked only where there is one
        self._listener(message)

    def _check_open(self) -> None:
        if self.is_over:
            raise UsageError("the call is over")
