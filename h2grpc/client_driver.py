"""
One connection of a channel on asyncio: what comes in goes to the protocol, and what that wants to say goes out.

Nothing here waits. Calls tell it what to send; it tells calls what came. The channel is told when the server greets,
when it is leaving and when the connection is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, cast

import ngh2

from h2grpc.call_state import OPEN
from h2grpc.client_protocol import ClientConnection
from h2grpc.events import CallEnded, CallHeaders, ConnectionEnded, Event, GoingAway, Message

if TYPE_CHECKING:
    from h2grpc.call import Call
    from h2grpc.requesting import Requesting

__all__ = ["CLOSING_TIME", "ClientDriver", "Owner"]

CLOSING_TIME = 1.0
"""Seconds for a transport to send its last bytes."""


class Owner(Protocol):
    """The channel, as its connections see it."""

    def on_room(self) -> None:
        """A call ended, or the server allows more of them."""

    def on_leaving(self, driver: ClientDriver) -> None:
        """It takes no new calls."""

    def on_lost(self, driver: ClientDriver) -> None:
        """Its transport is closed, and every call of it has been told."""


class ClientDriver(asyncio.Protocol):
    def __init__(
        self,
        connection: ClientConnection,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
    ) -> None:
        self.connection = connection
        self.is_leaving = False
        self.greeted: asyncio.Future[None] = loop.create_future()
        """Done when the server's settings are here; fails when the connection ends before that."""
        self.closed: asyncio.Future[None] = loop.create_future()
        self.reason = "the connection was closed"
        self._owner = owner
        self._loop = loop
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._is_flushing = False
        self._has_greeted = False
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = float("inf")
        self._blocked: set[Requesting] = set()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._flush()

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        connection.receive(data, self._clock())
        self._hand_out(connection.events())
        if connection.has_more or self._blocked or not self._has_greeted:
            self._tell()
            self.flush_soon()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._flush()

    def eof_received(self) -> None:
        """The transport closes itself."""

    def connection_lost(self, error: Exception | None) -> None:
        self.is_leaving = True
        if self._wake is not None:
            self._wake.cancel()
        reason = "the connection was lost" if error is None else f"the connection was lost: {error}"
        self.connection.lost(reason)
        self._tell()
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionError(self.reason))
            self.greeted.exception()  # nobody need be waiting
        self.closed.set_result(None)
        self._owner.on_lost(self)

    # For calls

    @property
    def has_room(self) -> bool:
        connection = self.connection
        return not self.is_leaving and len(connection.calls) < connection.max_streams and connection.can_start

    def start(self, owner: Requesting, path: bytes, headers: list[tuple[bytes, bytes]]) -> Call:
        call = self.connection.start(
            path, self._clock(), headers, deadline=owner.deadline, compression=owner.compression
        )
        call.owner, call.listener = owner, owner.listener
        self.flush_soon()
        return call

    def send(self, call: Call, message: bytes) -> None:
        self.connection.send_message(call, message)
        self.flush_soon()

    def send_now(self, call: Call, message: bytes) -> bool:
        """
        Send one message unless its call has to wait; it leaves in this turn of the loop where no other waits.

        For whoever has one message and knows of no other. Never tells what happened meanwhile: its caller may be in the
        middle of being told something.
        """
        connection, transport = self.connection, self._transport
        if call.sending is not OPEN:
            return False
        if self._is_flushing or self._is_paused or transport is None or transport.is_closing():
            return self._send_soon(call, message)
        data = connection.send_alone(call, message)
        if data is None:
            return self._send_soon(call, message)
        if data:
            transport.write(data)
        if len(data) >= connection.limits.write_chunk or connection.has_events or self._blocked:
            self.flush_soon()
        return True

    def _send_soon(self, call: Call, message: bytes) -> bool:
        if not self.connection.may_write(call):
            return False
        self.send(call, message)
        return True

    def end(self, call: Call) -> None:
        self.connection.end(call)
        self.flush_soon()

    def cancel(self, call: Call) -> None:
        self.connection.cancel(call)
        call.owner = call.listener = None
        self.flush_soon()
        self._on_call_gone()

    def consumed(self, call: Call, size: int) -> None:
        owed = call.unacknowledged
        self.connection.consumed(call, size)
        if owed != call.unacknowledged:
            self.flush_soon()

    def may_write(self, call: Call) -> bool:
        return self.connection.may_write(call)

    def block(self, owner: Requesting) -> None:
        """Tell it when it may write again."""
        self._blocked.add(owner)

    def unblock(self, owner: Requesting) -> None:
        self._blocked.discard(owner)

    # For the channel

    def close(self) -> None:
        """Say good-bye and close the transport; open calls are lost."""
        self.is_leaving = True
        self.connection.close()
        self._tell()
        self._flush()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """No new calls; closed when the last of those there are has ended."""
        self.is_leaving = True
        self._on_call_gone()

    def flush_soon(self) -> None:
        """One write for everything that happens in this turn of the loop."""
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        connection, transport = self.connection, self._transport
        if transport is None or transport.is_closing():
            return
        while not self._is_paused and (data := connection.data_to_send()):
            transport.write(data)
            if not connection.has_more:
                break
        if self._blocked:
            self._unblock()
        self._tell()
        if connection.is_ended:
            transport.close()
            if self._wake is not None:
                self._wake.cancel()
            # A peer that takes nothing would keep the last bytes, and the socket, for ever.
            self._wake = self._loop.call_later(CLOSING_TIME, transport.abort)
        elif connection.next_wake < self._wake_at:
            self._set_wake()

    def _unblock(self) -> None:
        for owner in list(self._blocked):
            call = owner.wire
            if call is None or self.connection.may_write(call):
                self._blocked.discard(owner)
                owner.on_writable()

    def _tell(self) -> None:
        """Hand out what happened."""
        connection = self.connection
        while events := connection.events():
            self._hand_out(events)
        if not self._has_greeted and connection.is_greeted:
            self._has_greeted = True
            if not self.greeted.done():
                self.greeted.set_result(None)

    def _hand_out(self, events: Iterable[Event]) -> None:
        for event in events:
            if type(event) is Message:
                call, data = event.call, event.data
                if (listener := call.listener) is not None:
                    if call.unread:
                        self.consumed(call, len(data))
                    listener(data)
                elif (owner := call.owner) is not None:  # not given up meanwhile
                    owner.on_message(data)
            else:
                self._tell_rare(event)

    def _tell_rare(self, event: Any) -> None:
        kind = type(event)
        if kind is CallEnded:
            owner, event.call.owner, event.call.listener = event.call.owner, None, None
            if owner is not None:
                owner.on_end(event)
            self._on_call_gone()
        elif kind is CallHeaders:
            if (owner := event.call.owner) is not None:
                owner.on_headers(event.call.headers)
        elif kind is GoingAway:
            self._take_no_more()
            self._on_call_gone()
        elif kind is ConnectionEnded:
            self.reason = event.reason
            # Its transport may take long to close, and nobody should wait for that.
            self._take_no_more()
            self.flush_soon()

    def _take_no_more(self) -> None:
        if not self.is_leaving:
            self.is_leaving = True
            self._owner.on_leaving(self)

    def _on_call_gone(self) -> None:
        if not self.is_leaving:
            self._owner.on_room()
        elif not self.connection.calls and not self.connection.is_ended:
            self.connection.close(ngh2.ErrorCode.NO_ERROR, "left")
            self.flush_soon()

    def _set_wake(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake_at = at = self.connection.next_wake
        self._wake = self._loop.call_later(max(0.001, at - self._clock()), self._on_wake)

    def _on_wake(self) -> None:
        self._wake, self._wake_at = None, float("inf")
        self.connection.tick(self._clock())
        self._tell()
        self._flush()
