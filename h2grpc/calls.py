"""
What calling a stub's method returns: the four kinds of call, with the methods of ``grpc.aio``'s.

The connection knows the ``ClientCall`` behind one of these, never this object: who drops it unfinished has cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator, Iterable
from typing import Any, TypeAlias

from h2grpc.client_call import ClientCall
from h2grpc.metadata import Metadata
from h2grpc.rpc_error import EndOfStream
from h2grpc.status import Status

__all__ = ["Requests", "StreamStreamCall", "StreamUnaryCall", "UnaryStreamCall", "UnaryUnaryCall"]

Requests: TypeAlias = AsyncIterable[Any] | Iterable[Any]


class _Call:
    __slots__ = ("__weakref__", "_call", "_clock")

    def __init__(self, call: ClientCall, clock: Callable[[], float]) -> None:
        self._call, self._clock = call, clock

    def __del__(self) -> None:
        call = self._call
        if call.status is None and not call.loop.is_closed():
            # Whichever thread collects garbage.
            call.loop.call_soon_threadsafe(call.cancel, "the call was dropped")

    def cancel(self) -> bool:
        """False if it has ended already."""
        return self._call.cancel()

    def cancelled(self) -> bool:
        return self._call.is_cancelled

    def done(self) -> bool:
        return self._call.status is not None

    def time_remaining(self) -> float | None:
        deadline = self._call.deadline
        return None if deadline is None else max(0.0, deadline - self._clock())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(lambda: callback(self))

    async def initial_metadata(self) -> Metadata:
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Metadata:
        await self._ended()
        return self._call.trailing

    async def code(self) -> Status:
        await self._ended()
        status = self._call.status
        assert status is not None  # noqa: S101  # it has ended
        return status

    async def details(self) -> str:
        await self._ended()
        return self._call.details

    async def debug_error_string(self) -> str:
        return await self.details()

    async def _ended(self) -> None:
        if self._call.status is None:
            await self._call.end_waiter()


class _OneAnswer(_Call):
    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Any]:
        call = self._call
        if call.status is None:
            try:
                yield from call.end_waiter()
            except asyncio.CancelledError:
                call.cancel()
                raise
        return call.outcome()


class _ManyAnswers(_Call):
    __slots__ = ()

    read: Callable[[], Coroutine[Any, Any, Any]]
    """The next answer, or ``EOF`` when there are no more; raises ``RpcError`` when the call failed."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._answers()

    async def _answers(self) -> AsyncIterator[Any]:
        read = self.read
        while not isinstance(answer := await read(), EndOfStream):
            yield answer


class _ManyRequests(_Call):
    __slots__ = ("done_writing", "write", "write_nowait")

    write: Callable[[Any], Coroutine[Any, Any, None]]
    """Send one request; waits while the server does not take what was written before."""
    write_nowait: Callable[[Any], bool]
    """The same where it takes no waiting, else False; grpc.aio has no such thing."""
    done_writing: Callable[[], Coroutine[Any, Any, None]]

    def __init__(self, call: ClientCall, clock: Callable[[], float], requests: Requests | None) -> None:
        super().__init__(call, clock)
        self.write, self.write_nowait, self.done_writing = call.write, call.write_nowait, call.done_writing
        if requests is not None:
            call.sender = asyncio.get_running_loop().create_task(_send_all(call, requests))
            call.sender.add_done_callback(lambda task: _on_sent(call, task))


class UnaryUnaryCall(_OneAnswer):
    __slots__ = ()


class UnaryStreamCall(_ManyAnswers):
    __slots__ = ("read",)

    def __init__(self, call: ClientCall, clock: Callable[[], float]) -> None:
        super().__init__(call, clock)
        self.read = call.read


class StreamUnaryCall(_ManyRequests, _OneAnswer):
    __slots__ = ()


class StreamStreamCall(_ManyRequests, _ManyAnswers):
    __slots__ = ("listen", "read")

    listen: Callable[[Callable[[Any], None]], None]
    """See ``ClientCall.listen``; grpc.aio has no such thing."""

    def __init__(self, call: ClientCall, clock: Callable[[], float], requests: Requests | None) -> None:
        super().__init__(call, clock, requests)
        self.read, self.listen = call.read, call.listen


async def _send_all(call: ClientCall, requests: Requests) -> None:
    """The one task that a call with an iterator of requests has; ends with the call."""
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            await call.write(request)
    else:
        for request in requests:
            await call.write(request)
    call.end()


def _on_sent(call: ClientCall, task: asyncio.Task[None]) -> None:
    """An iterator that failed takes its call with it; a call that failed says so where it is read."""
    failure = None if task.cancelled() else task.exception()
    if call.status is None and (failure is not None or task.cancelled()):
        call.cause = failure
        call.cancel("the iterator of requests failed")
