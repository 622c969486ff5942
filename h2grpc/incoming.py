"""
DATA into messages: what of it is held, for how long the peer's windows stay shut, and when it is too much.

Received bytes count against the window until they are a message that was read: while a handler does not read, at most
``max_unread`` and one window of its call wait here. An incomplete message is always taken in, up to its limit.
"""

from __future__ import annotations

from typing import Final

import ngh2

from h2grpc.call import Call
from h2grpc.call_state import DONE
from h2grpc.compression import decompress
from h2grpc.counters import Counters
from h2grpc.deadlines import Deadlines
from h2grpc.errors import MessageTooLarge, WireError
from h2grpc.events import Event, Message
from h2grpc.framing import HEAD, MessageReader, head_of
from h2grpc.limits import Limits
from h2grpc.watch import Watch

__all__ = ["Incoming"]

SMALL: Final = 4096
"""Bytes of one call that are not worth counting against the limit of all."""
_FRAME: Final = 16_384
"""The longest frame that a peer may send, as we do not say otherwise."""


class Incoming(Watch):
    """Knows the calls that are open."""

    __slots__ = ("_events", "_little", "_longest", "_lost_at_most", "_newest", "_told", "calls", "deadlines")

    def __init__(self, engine: ngh2.Connection, limits: Limits, counters: Counters, now: float) -> None:
        super().__init__(engine, limits, counters, now)
        self.calls: dict[int, Call] = {}
        self.deadlines = Deadlines()
        self._events: list[Event] = []
        self._longest = limits.max_receive_message
        self._little = min(SMALL, limits.max_unread, limits.max_receive_message)
        """Unread bytes of a call that are within every limit."""
        self._lost_at_most = 0
        self._newest = self._told = 0
        """The last stream that the peer began, and the last that a driver may know of."""

    @property
    def receive_window(self) -> int:
        """Bytes that the peer may still send on this connection."""
        return self._engine.local_window_size

    def consumed(self, call: Call, size: int) -> None:
        """A message of ``size`` bytes was taken by its reader. Not needed for one that is the last."""
        call.unread = max(0, call.unread - size)
        if call.unacknowledged and call.unread <= self.limits.max_unread:
            self._acknowledge(call.stream_id, call.unacknowledged)
            call.unacknowledged = 0
        if call.charged:
            self._charge(call)

    # For the roles

    def _is_worn_by_reset(self) -> bool:
        """
        Whether resets may have cost a quarter of the connection's window; told of each.

        ``ngh2`` drops what is half here of a frame when its stream is reset, and gives its window back to nobody. One
        reset costs a frame at most, and all together what is missing of the window.
        """
        window = self.limits.connection_window
        self._lost_at_most = min(self._lost_at_most + _FRAME, window - self._engine.local_window_size)
        return self._lost_at_most > window // 4

    def _fail(self, call: Call, error: WireError) -> None:
        """The peer broke a rule of gRPC inside one call."""
        raise NotImplementedError

    def _received_end(self, call: Call) -> None:
        raise NotImplementedError

    def _on_unknown_data(self, event: ngh2.DataReceived) -> None:
        """DATA for a stream that is no call of ours (any more)."""
        if event.data:
            self._acknowledge(event.stream_id, len(event.data))

    # What the engine tells

    def _on_data(self, event: ngh2.DataReceived) -> None:
        call = self.calls.get(event.stream_id)
        if call is None:
            self._on_unknown_data(event)
            return
        data, reader = event.data, call.reader
        size = len(data) - HEAD
        unread = call.unread + size
        if (
            unread <= self._little
            and size >= 0
            and reader is not None
            and not reader.held
            and not call.charged
            and not event.end_stream
            and head_of(data) == (0, size)
        ):
            # One small message that is not compressed, as nearly always in a stream; its first one makes the reader.
            # As little waits, nothing is left to be acknowledged, and all that is below comes to this.
            try:  # noqa: SIM105  # costs nothing where it succeeds
                self._engine.acknowledge_received_data(len(data), event.stream_id)
            except ngh2.NGH2Error:
                pass  # the stream or the connection has ended meanwhile, and its window with it
            if call.listener is None:
                call.unread = unread
            self._events.append(Message(call, data[HEAD:]))
            return
        if data:
            call.unacknowledged += len(data)
            if not self._take_in(call, data):
                return
            if call.unread <= self.limits.max_unread:
                self._acknowledge(event.stream_id, call.unacknowledged)
                call.unacknowledged = 0
            if (call.holds > SMALL or call.charged) and not self._charge(call):
                self._fail(call, MessageTooLarge("the server holds as many bytes as it may"))
                return
        elif not event.end_stream:
            self._on_empty_frame()
            return
        if event.end_stream:
            self._finish_reading(call)

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        if (call := self.calls.get(event.stream_id)) is not None:
            self._finish_reading(call)

    def _take_in(self, call: Call, data: bytes) -> bool:
        """Messages in whatever pieces; False if they failed the call."""
        if (reader := call.reader) is None:
            reader = call.reader = MessageReader(self._longest)
        try:
            for is_compressed, message in reader.feed(data):
                if is_compressed:
                    message = decompress(call.encoding, message, self._longest)  # noqa: PLW2901
                call.unread += len(message)
                self._events.append(Message(call, message))
        except WireError as error:
            self._fail(call, error)
            return False
        return True

    def _finish_reading(self, call: Call) -> None:
        try:
            if call.reader is not None:
                call.reader.finish()
        except WireError as error:
            self._fail(call, error)
            return
        call.receiving = DONE
        self._received_end(call)

    def _charge(self, call: Call) -> bool:
        """Count what this call holds against the limit of all connections."""
        holds = call.holds
        total = self.counters["held_bytes"] + holds - call.charged
        is_more = holds > call.charged
        self.counters["held_bytes"] = total
        call.charged = holds
        return not is_more or total <= self.limits.max_held

    def _acknowledge(self, stream_id: int, size: int) -> None:
        try:
            self._engine.acknowledge_received_data(size, stream_id)
        except ngh2.NGH2Error:
            return  # the stream or the connection has ended meanwhile, and its window with it

    def _forget(self, call: Call) -> None:
        """Give back what is held for a call. The stream may live on until everything is sent."""
        stream_id = call.stream_id
        if self.calls.pop(stream_id, None) is None:
            return
        if call.deadline is not None:
            self.deadlines.discard(stream_id)
        if call.unacknowledged:
            self._acknowledge(stream_id, call.unacknowledged)
            call.unacknowledged = 0
        if call.charged:
            self.counters["held_bytes"] -= call.charged
            call.charged = 0
