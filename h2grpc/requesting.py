"""
The sending half of a call: its requests, on their way or waiting for a connection or for room on it.

Requests are kept until the answer begins, as far as they are small, so that a call that the server did not look at can
be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from h2grpc.rpc_error import EndOfStream
from h2grpc.status import Status

if TYPE_CHECKING:
    from h2grpc.call import Call
    from h2grpc.channel import Channel
    from h2grpc.client_driver import ClientDriver

__all__ = ["Method", "Requesting"]


@dataclass(frozen=True, slots=True)
class Method:
    path: bytes
    serialize: Callable[[Any], bytes] | None
    deserialize: Callable[[bytes], Any] | None
    is_unary: bool
    """Exactly one answer is expected."""


class Requesting:
    """What comes back is not known here, but that there is an outcome."""

    __slots__ = (
        "_channel",
        "_driver",
        "_headers",
        "_is_half_closed",
        "_limit",
        "_method",
        "_outbox",
        "_outbox_size",
        "_tries",
        "_writer",
        "compression",
        "deadline",
        "listener",
        "loop",
        "status",
        "wire",
    )

    def __init__(
        self,
        channel: Channel,
        method: Method,
        headers: list[tuple[bytes, bytes]],
        deadline: float | None,
        compression: str | None,
    ) -> None:
        self.wire: Call | None = None
        """While the call is on a connection."""
        self.deadline, self.compression = deadline, compression
        self.status: Status | None = None
        self.listener: Callable[[bytes], None] | None = None
        """Takes every answer as it comes."""
        self.loop = channel.loop
        self._channel, self._method, self._headers = channel, method, headers
        limit = channel.config.limits.max_send_message
        self._limit = inf if limit is None else limit
        self._driver: ClientDriver | None = None
        self._outbox: list[bytes] | None = []
        """Requests from the first on; None once they need not be kept."""
        self._outbox_size = 0
        self._is_half_closed = False
        self._tries = 0
        self._writer: asyncio.Future[None] | None = None

    def send(self, request: Any) -> None:
        """Queue one message; the caller has looked whether the call still takes any."""
        serialize = self._method.serialize
        data = request if serialize is None else serialize(request)
        if len(data) > self._limit:
            self._drop_wire()
            self.finish(Status.RESOURCE_EXHAUSTED, f"a message of {len(data)} bytes; the limit is {self._limit}")
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
        wire, driver = self.wire, self._driver
        if wire is None:  # nor has a call that has ended one
            return False
        if self._outbox is None:  # nothing is kept, so nothing is to be done but to send it
            serialize = self._method.serialize
            data = request if serialize is None else serialize(request)
            if len(data) <= self._limit:
                return driver.send_now(wire, data)  # type: ignore[union-attr]
        if self.status is not None or self._is_half_closed or not driver.may_write(wire):  # type: ignore[union-attr]
            return False
        self.send(request)
        return True

    async def done_writing(self) -> None:
        self.end()

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

    def on_writable(self) -> None:
        writer = self._writer
        if writer is not None and not writer.done():
            writer.set_result(None)

    # What the other half does

    def cancel(self, details: str = "") -> bool:
        raise NotImplementedError

    def finish(self, status: Status, details: str) -> None:
        raise NotImplementedError

    def _failure(self) -> BaseException | None:
        raise NotImplementedError

    def _end_of_stream(self) -> EndOfStream:
        raise NotImplementedError

    # Private

    def _trim(self) -> None:
        """What is sent and too much to keep is given up, and with it the chance to send it again."""
        if self.wire is not None and self._outbox_size > self._channel.config.max_replay:
            self._outbox = None

    def _drop_wire(self) -> None:
        wire, self.wire = self.wire, None
        if wire is not None and self._driver is not None:
            self._driver.unblock(self)
            self._driver.cancel(wire)

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
