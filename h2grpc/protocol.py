"""
What both ends of a connection have in common: bytes in, events and bytes out, no I/O and no clock.

The rules of this file:

- nghttp2 (through ``ngh2``) frames, checks and schedules. We decide when windows open (``incoming``), what a peer may
  hold here, and which behaviour ends a connection (``watch``).
- Time comes in as ``now``. ``next_wake`` says when ``tick`` is wanted at the latest, which may turn out too early.
- After every call into this object a driver takes ``events()`` and, when it is ready to write, ``data_to_send()``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final

import ngh2

from h2grpc.call import Call
from h2grpc.call_state import RESET
from h2grpc.counters import Counters
from h2grpc.events import ConnectionEnded, Event, GoingAway
from h2grpc.incoming import Incoming
from h2grpc.limits import Limits
from h2grpc.status import Status

__all__ = ["Connection"]

_WORTH: Final = 1024
"""Bytes that make up for the pings and window updates that answer them; who opens windows by less makes a flood."""
_GOAWAY: Final = bytes.fromhex("000008 07 00 00000000 00000000")
"""Up to its error code; it names no stream, as nothing was kept of any."""


class _Handlers(dict[type, Callable[[Any, Any], None]]):
    def __missing__(self, kind: type) -> Callable[[Any, Any], None]:
        return _ignore


def _ignore(_connection: Any, _event: Any) -> None:
    """For what the engine tells that is of no use here."""


class Connection(Incoming):
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

    __slots__ = ("_last_words",)

    def __init_subclass__(cls) -> None:
        cls._on = _Handlers({kind: getattr(cls, name) for kind, name in cls.HANDLED.items()})

    def __init__(self, role: ngh2.Role, limits: Limits, counters: Counters, now: float) -> None:
        engine = ngh2.Connection(role, limits.engine())
        super().__init__(engine, limits, counters, now)
        settings = limits.settings_frame()
        if role is ngh2.Role.CLIENT:
            settings[ngh2.Setting.ENABLE_PUSH] = 0
            del settings[ngh2.Setting.MAX_CONCURRENT_STREAMS]
        engine.initiate_connection(settings)
        engine.set_local_window_size(limits.connection_window)
        self._last_words = b""

    # Bytes and time in

    def receive(self, data: bytes, now: float) -> None:
        if self._is_ended:
            return
        self._now = self._heard = now
        engine, on = self._engine, self._on
        try:
            engine.receive_data(data)
        except ngh2.NGH2Error as error:
            self._broken(error)
            return
        for event in engine.events():
            on[type(event)](self, event)
            if self._is_ended:
                return

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

    # Events and bytes out

    def events(self) -> list[Event]:
        events = self._events
        if events:
            self._events = []
            self._told = self._newest
        return events

    def data_to_send(self) -> bytes:
        """At most ``limits.write_chunk`` bytes; nothing if there is nothing that the peer's windows allow."""
        if self._is_ended:
            words, self._last_words = self._last_words, b""
            return words
        engine = self._engine
        try:
            data = engine.data_to_send(self.limits.write_chunk)
        except ngh2.NGH2Error as error:
            self._broken(error)
            return self.data_to_send()
        if data:
            self._progress = self._now
            if len(data) > _WORTH:
                self._has_worked = True
        if events := engine.events():
            self._dispatch(events)
        return data

    @property
    def has_events(self) -> bool:
        """Whether ``events`` has something."""
        return bool(self._events)

    @property
    def next_wake(self) -> float:
        """At a client it comes nearer only by ``start``, ``ping`` and ``tick``, and when the server greets."""
        return min(self.deadlines.earliest, self._check_at)

    # Flow control

    def unsent(self, call: Call) -> int:
        """Bytes of this call that the peer did not allow us to send yet."""
        return self._engine.queued_body_size(call.stream_id)

    def may_write(self, call: Call) -> bool:
        """Whether more messages of this call should be made now."""
        unsent = self._engine.queued_body_size
        in_all = unsent()
        return not in_all or (
            in_all <= self.limits.max_unsent_in_all and unsent(call.stream_id) <= self.limits.max_unsent
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

    # For the roles

    def _expire(self, call: Call) -> None:
        raise NotImplementedError

    def _call_lost(self, call: Call, status: Status, details: str, *, is_unprocessed: bool = False) -> None:
        """Tell the driver that nothing more comes of a call that is already forgotten here."""
        raise NotImplementedError

    def _reset(self, call: Call, error_code: int) -> None:
        """The peer, or the end of the stream, ended a call that was not over."""
        raise NotImplementedError

    def _reset_stream(self, stream_id: int, error_code: int) -> None:
        """Tell the peer that nobody wants this stream. A connection that is being torn down ends it anyway."""
        with suppress(ngh2.ConnectionStateError):
            self._engine.reset_stream(stream_id, error_code)
            if self._is_worn_by_reset():
                self._wear_out()

    def _wear_out(self) -> None:
        """Let this connection end with its last call, as long as its window is wide enough for that."""
        raise NotImplementedError

    # What the engine tells

    def _dispatch(self, events: list[ngh2.Event]) -> None:
        on = self._on
        for event in events:
            on[type(event)](self, event)
            if self._is_ended:
                return

    def _on_stream_reset(self, event: ngh2.StreamReset) -> None:
        if (call := self.calls.get(event.stream_id)) is not None:
            self._reset(call, event.error_code)

    def _on_stream_closed(self, event: ngh2.StreamClosed) -> None:
        if (call := self.calls.get(event.stream_id)) is not None:
            self._reset(call, event.error_code)

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
        self.deadlines.clear()
        for call in list(self.calls.values()):
            self.calls.pop(call.stream_id, None)
            self.counters["held_bytes"] -= call.charged
            call.charged = call.unacknowledged = 0
            call.receiving = call.sending = RESET
            self._call_lost(call, Status.UNAVAILABLE, reason)
        self._events.append(ConnectionEnded(error_code, reason))
