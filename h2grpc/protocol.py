"""
What both ends of a connection have in common: bytes in, events and bytes out, no I/O and no clock.

The rules of this file:

- nghttp2 (through ``ngh2``) frames, checks and schedules. This class decides when windows open, what a peer may hold
  here, and which behaviour ends a connection.
- Time comes in as ``now``. ``next_wake`` says when ``tick`` is wanted at the latest.
- After every call into this object a driver takes ``events()`` and, when it is ready to write, ``data_to_send()``.
- Received bytes count against the window until they are a message that was read: while a handler does not read, at most
  ``max_unread`` and one window of its call wait here. An incomplete message is always taken in, up to its limit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final

import ngh2

from h2grpc.bucket import Bucket
from h2grpc.call import Call
from h2grpc.call_state import State
from h2grpc.compression import decompress
from h2grpc.counters import Counters
from h2grpc.deadlines import Deadlines
from h2grpc.errors import MessageTooLarge, WireError
from h2grpc.events import ConnectionEnded, Event, GoingAway, Message
from h2grpc.framing import HEAD, MessageReader
from h2grpc.limits import Limits
from h2grpc.status import Status

__all__ = ["Connection"]

SMALL: Final = 4096
"""Bytes of one call that are not worth counting against the limit of all."""

_WORTH: Final = 1024
"""Bytes that make up for the pings and window updates that answer them; who opens windows by less makes a flood."""
_PONG: Final = 5
"""Times the timeout in which a ping must be answered by a peer that says other things meanwhile."""
_length = struct.Struct(">I").unpack_from
_GOAWAY: Final = bytes.fromhex("000008 07 00 00000000 00000000")
"""Up to its error code; it names no stream, as nothing was kept of any."""


class Connection:
    """Base of ``ServerConnection`` and ``ClientConnection``."""

    HANDLED: ClassVar[dict[type, str]] = {
        ngh2.DataReceived: "_on_data",
        ngh2.StreamClosed: "_on_stream_closed",
        ngh2.StreamReset: "_on_stream_reset",
        ngh2.TrailersReceived: "_on_trailers",
        ngh2.WindowUpdated: "_on_window_updated",
        ngh2.SettingsReceived: "_on_settings",
        ngh2.PingReceived: "_on_ping",
        ngh2.PingAcknowledged: "_on_pong",
        ngh2.GoAwayReceived: "_on_goaway",
        ngh2.ConnectionClosed: "_on_closed",
    }
    """Which method is told of which event of the engine. Looked up once for a class, not kept by each connection."""
    _on: ClassVar[dict[type, Callable[[Any, Any], None]]]

    def __init_subclass__(cls) -> None:
        cls._on = {kind: getattr(cls, name) for kind, name in cls.HANDLED.items()}

    def __init__(self, role: ngh2.Role, limits: Limits, counters: Counters, now: float) -> None:
        self.limits, self.counters = limits, counters
        self._engine = engine = ngh2.Connection(role, limits.engine())
        settings = limits.settings_frame()
        if role is ngh2.Role.CLIENT:
            settings[ngh2.Setting.ENABLE_PUSH] = 0
            del settings[ngh2.Setting.MAX_CONCURRENT_STREAMS]
        engine.initiate_connection(settings)
        engine.set_local_window_size(limits.connection_window)
        self.calls: dict[int, Call] = {}
        self.deadlines = Deadlines()
        self._events: list[Event] = []
        self._last_words = b""
        self._now = self._heard = self._started = self._progress = now
        self._is_greeted = False
        self._ping_at: float | None = None
        self._is_ended = False
        self._has_worked = False
        self._pings = Bucket(*limits.pings)
        self._settings = Bucket(*limits.settings)
        self._empty = Bucket(*limits.empty_frames)
        self._updates = Bucket(*limits.window_updates)
        self._check_at = now + limits.handshake

    # Bytes and time in

    def receive(self, data: bytes, now: float) -> None:
        if self._is_ended:
            return
        self._now = self._heard = now
        try:
            self._engine.receive_data(data)
        except ngh2.NGH2Error as error:
            self._broken(error)
            return
        self._dispatch()

    def tick(self, now: float) -> None:
        """Time passed: calls expire, silent peers are asked or left."""
        if self._is_ended:
            return
        self._now = now
        for stream_id in self.deadlines.due(now):
            if (call := self.calls.get(stream_id)) is not None:
                self._expire(call)
        if now >= self._check_at:
            self._check(now)

    def lost(self, reason: str = "the connection was lost") -> None:
        """The transport is gone."""
        if not self._is_ended:
            self._end(0, reason)

    def _reset_stream(self, stream_id: int, error_code: int) -> None:
        """Tell the peer that nobody wants this stream. A connection that is being torn down ends it anyway."""
        with suppress(ngh2.ConnectionStateError):
            self._engine.reset_stream(stream_id, error_code)

    # Events and bytes out

    def events(self) -> list[Event]:
        events = self._events
        if events:
            self._events = []
        return events

    def data_to_send(self) -> bytes:
        """At most ``limits.write_chunk`` bytes; nothing if there is nothing that the peer's windows allow."""
        if self._last_words:
            words, self._last_words = self._last_words, b""
            return words
        if self._is_ended:
            return b""
        try:
            data = self._engine.data_to_send(self.limits.write_chunk)
        except ngh2.NGH2Error as error:
            self._broken(error)
            return self.data_to_send()
        if data:
            self._progress = self._now
            if len(data) > _WORTH:
                self._has_worked = True
        self._dispatch()
        return data

    @property
    def next_wake(self) -> float:
        at = self.deadlines.next
        return self._check_at if at is None or at > self._check_at else at

    @property
    def is_greeted(self) -> bool:
        """Whether the peer's first SETTINGS are here: it speaks HTTP/2."""
        return self._is_greeted

    @property
    def is_ended(self) -> bool:
        return self._is_ended

    # Flow control

    def consumed(self, call: Call, size: int) -> None:
        """A message of ``size`` bytes was taken by its reader. Not needed for one that is the last."""
        call.unread = max(0, call.unread - size)
        if call.unacknowledged and call.unread <= self.limits.max_unread:
            self._acknowledge(call.stream_id, call.unacknowledged)
            call.unacknowledged = 0
        if call.charged:
            self._charge(call)

    def unsent(self, call: Call) -> int:
        """Bytes of this call that the peer did not allow us to send yet."""
        return self._engine.queued_body_size(call.stream_id)

    @property
    def unsent_in_all(self) -> int:
        return self._engine.queued_body_size()

    @property
    def receive_window(self) -> int:
        """Bytes that the peer may still send on this connection."""
        return self._engine.local_window_size

    def may_write(self, call: Call) -> bool:
        """Whether more messages of this call should be made now."""
        return (
            self._engine.queued_body_size(call.stream_id) <= self.limits.max_unsent
            and self._engine.queued_body_size() <= self.limits.max_unsent_in_all
        )

    # Closing

    def close(self, error_code: int = 0, reason: str = "closed") -> None:
        """End now, with a GOAWAY. Calls that are open are lost."""
        if self._is_ended:
            return
        self._engine.terminate_connection(error_code)
        words = b""
        while data := self._engine.data_to_send():
            words += data
        self._last_words = words
        self._end(error_code, reason)

    def ping(self, payload: bytes = b"h2grpc\0\0") -> None:
        """Ask whether the peer is there; ``tick`` ends the connection if it says nothing."""
        if self._ping_at is None and not self._is_ended:
            self._engine.ping(payload)
            self._ping_at = self._now
            self._check_at = min(self._check_at, self._now + self.limits.keepalive_timeout)

    # For the roles

    def _expire(self, call: Call) -> None:
        raise NotImplementedError

    def _call_lost(self, call: Call, status: Status, details: str, *, is_unprocessed: bool = False) -> None:
        """Tell the driver that nothing more comes of a call that is already forgotten here."""
        raise NotImplementedError

    def _fail(self, call: Call, error: WireError) -> None:
        """The peer broke a rule of gRPC inside one call."""
        raise NotImplementedError

    def _received_end(self, call: Call) -> None:
        raise NotImplementedError

    def _received_last(self, call: Call, message: bytes) -> None:
        """One message and the end in the same frame."""
        self._events.append(Message(call, message))
        self._finish_reading(call)

    def _on_unknown_data(self, event: ngh2.DataReceived) -> None:
        """DATA for a stream that is no call of ours (any more)."""
        if event.data:
            self._acknowledge(event.stream_id, len(event.data))

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

    def _abuse(self, kind: str) -> None:
        self.counters[f"abuse.{kind}"] += 1
        self.close(ngh2.ErrorCode.ENHANCE_YOUR_CALM, f"too many {kind}")

    def _check(self, now: float) -> None:
        """What is looked at now and then rather than for every frame."""
        limits = self.limits
        if not self._is_greeted:
            if now - self._started >= limits.handshake:
                self.counters["abuse.handshake"] += 1
                self.close(ngh2.ErrorCode.SETTINGS_TIMEOUT, "no SETTINGS in time")
                return
            self._check_at = self._started + limits.handshake
            return
        if self._ping_at is not None:
            waited = now - self._ping_at
            is_silent = waited >= limits.keepalive_timeout and self._heard <= self._ping_at
            if is_silent or waited >= _PONG * limits.keepalive_timeout:
                self.close(0, "the peer is silent")
                return
        if limits.stalled is not None and self.unsent_in_all and now - self._progress >= limits.stalled:
            self.counters["abuse.stalled"] += 1
            self.close(ngh2.ErrorCode.ENHANCE_YOUR_CALM, "the peer does not read")
            return
        at = now + 60.0
        if limits.stalled is not None:
            at = min(at, now + limits.stalled / 4)
        if limits.keepalive is not None:
            if now - self._heard >= limits.keepalive:
                self.ping()
            at = min(at, max(now + 1e-3, self._heard + limits.keepalive) if self._ping_at is None else at)
        if self._ping_at is not None:
            at = min(at, max(now + limits.keepalive_timeout / 4, self._ping_at + limits.keepalive_timeout))
        self._check_at = at

    # What the engine tells

    def _dispatch(self) -> None:
        on = self._on
        for event in self._engine.events():
            if (handle := on.get(type(event))) is not None:
                handle(self, event)
            if self._is_ended:
                return

    def _on_data(self, event: ngh2.DataReceived) -> None:
        call = self.calls.get(event.stream_id)
        if call is None:
            self._on_unknown_data(event)
            return
        data = event.data
        if event.end_stream and call.reader is None and not call.unread and self._is_one_message(data):
            self._acknowledge(call.stream_id, len(data))
            self._received_last(call, data[HEAD:])
            return
        if data:
            call.unacknowledged += len(data)
            if (reader := call.reader) is None:
                reader = call.reader = MessageReader(self.limits.max_receive_message)
            try:
                for is_compressed, message in reader.feed(data):
                    if is_compressed:
                        message = decompress(call.encoding, message, self.limits.max_receive_message)  # noqa: PLW2901
                    call.unread += len(message)
                    self._events.append(Message(call, message))
            except WireError as error:
                self._fail(call, error)
                return
            if call.unread <= self.limits.max_unread:
                self._acknowledge(call.stream_id, call.unacknowledged)
                call.unacknowledged = 0
            if (call.holds > SMALL or call.charged) and not self._charge(call):
                self._fail(call, MessageTooLarge("the server holds as many bytes as it may"))
                return
        elif not event.end_stream:
            if not self._empty.take(self._now):
                self._abuse("empty_frames")
            return
        if event.end_stream:
            self._finish_reading(call)

    def _is_one_message(self, data: bytes) -> bool:
        """A whole message, not compressed and not too long: nearly every unary request."""
        size = len(data) - HEAD
        return size >= 0 and data[0] == 0 and size <= self.limits.max_receive_message and _length(data, 1)[0] == size

    def _finish_reading(self, call: Call) -> None:
        try:
            if call.reader is not None:
                call.reader.finish()
        except WireError as error:
            self._fail(call, error)
            return
        call.receiving = State.DONE
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

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        if (call := self.calls.get(event.stream_id)) is not None:
            self._finish_reading(call)

    def _on_stream_reset(self, event: ngh2.StreamReset) -> None:
        if (call := self.calls.get(event.stream_id)) is not None:
            self._reset(call, event.error_code)

    def _reset(self, call: Call, error_code: int) -> None:
        raise NotImplementedError

    def _on_stream_closed(self, event: ngh2.StreamClosed) -> None:
        if (call := self.calls.get(event.stream_id)) is not None:
            self._reset(call, event.error_code)

    def _on_window_updated(self, _event: ngh2.WindowUpdated) -> None:
        if self._has_worked:
            self._refill()
        if not self._updates.take(self._now):
            self._abuse("window_updates")

    def _on_settings(self, _event: ngh2.SettingsReceived) -> None:
        if not self._is_greeted:
            self._is_greeted = True
            self._check_at = self._now
        elif not self._settings.take(self._now):
            self._abuse("settings")

    def _on_ping(self, _event: ngh2.PingReceived) -> None:
        if self._has_worked:
            self._refill()
        if not self._pings.take(self._now):
            self._abuse("pings")

    def _refill(self) -> None:
        """We sent something, which is what pings and window updates are answers to."""
        self._has_worked = False
        self._pings.fill()
        self._updates.fill()

    def _on_pong(self, _event: ngh2.PingAcknowledged) -> None:
        self._ping_at = None

    def _on_goaway(self, event: ngh2.GoAwayReceived) -> None:
        self._events.append(GoingAway(event.error_code))

    def _on_closed(self, event: ngh2.ConnectionClosed) -> None:
        """The engine wants nothing any more: drained, or the peer broke a rule of HTTP/2 and has been told."""
        if event.error_code == ngh2.ErrorCode.ENHANCE_YOUR_CALM:
            self.counters["abuse.flood"] += 1
        elif event.error_code:
            self.counters["abuse.protocol"] += 1
        self._end(event.error_code, "the connection is closed")

    def _broken(self, error: ngh2.NGH2Error) -> None:
        """The engine gave up, and with it the chance to say so in its words."""
        is_flood = isinstance(error, ngh2.DenialOfServiceError)
        self.counters["abuse.flood" if is_flood else "abuse.protocol"] += 1
        code = ngh2.ErrorCode.ENHANCE_YOUR_CALM if is_flood else ngh2.ErrorCode.PROTOCOL_ERROR
        self._last_words = _GOAWAY + int(code).to_bytes(4, "big")
        self._end(code, str(error))

    def _end(self, error_code: int, reason: str) -> None:
        self._is_ended = True
        self._check_at = float("inf")
        for call in list(self.calls.values()):
            self.calls.pop(call.stream_id, None)
            self.deadlines.discard(call.stream_id)
            self.counters["held_bytes"] -= call.charged
            call.charged = call.unacknowledged = 0
            call.receiving = call.sending = State.RESET
            self._call_lost(call, Status.UNAVAILABLE, reason)
        self._events.append(ConnectionEnded(error_code, reason))
