"""
What a connection expects of its peer besides keeping to HTTP/2: that it is there, reads, and is no flood.

What is merely too much (pings, settings, window updates, empty frames) may come in bursts, and is made up for by data
that it answers. What takes too long is looked at now and then rather than for every frame.
"""

from __future__ import annotations

from typing import Final

import ngh2

from h2grpc.bucket import Bucket
from h2grpc.counters import Counters
from h2grpc.limits import Limits

__all__ = ["Watch"]

_PONG: Final = 5
"""Times the timeout in which a ping must be answered by a peer that says other things meanwhile."""
_IDLE_CHECK: Final = 60.0
"""Seconds after which to look again where no limit asks for it earlier."""


class Watch:
    """The first of the layers that make a connection, each of which builds on those before it."""

    __slots__ = (
        "_check_at",
        "_empty",
        "_engine",
        "_has_worked",
        "_heard",
        "_is_ended",
        "_is_greeted",
        "_now",
        "_ping_at",
        "_pings",
        "_progress",
        "_settings",
        "_started",
        "_updates",
        "counters",
        "limits",
    )

    def __init__(self, engine: ngh2.Connection, limits: Limits, counters: Counters, now: float) -> None:
        self._engine, self.limits, self.counters = engine, limits, counters
        self._now = self._heard = self._started = self._progress = now
        self._is_greeted = self._is_ended = self._has_worked = False
        self._ping_at: float | None = None
        self._pings: Bucket | None = None
        """Each of these is there from the first frame of its kind on: most connections never see most of them."""
        self._settings: Bucket | None = None
        self._empty: Bucket | None = None
        self._updates: Bucket | None = None
        self._check_at = now + limits.handshake

    @property
    def is_greeted(self) -> bool:
        """Whether the peer's first SETTINGS are here: it speaks HTTP/2."""
        return self._is_greeted

    @property
    def is_ended(self) -> bool:
        return self._is_ended

    @property
    def unsent_in_all(self) -> int:
        return self._engine.queued_body_size()

    def ping(self, payload: bytes = b"h2grpc\0\0") -> None:
        """Ask whether the peer is there; ``tick`` ends the connection if it says nothing."""
        if self._ping_at is None and not self._is_ended:
            self._engine.ping(payload)
            self._ping_at = self._now
            self._check_at = min(self._check_at, self._now + self.limits.keepalive_timeout)

    def close(self, error_code: int = 0, reason: str = "closed") -> None:
        raise NotImplementedError

    def _abuse(self, kind: str) -> None:
        self.counters[f"abuse.{kind}"] += 1
        self.close(ngh2.ErrorCode.ENHANCE_YOUR_CALM, f"too many {kind}")

    def _check(self, now: float) -> None:
        """Whatever may have taken too long; sets ``_check_at`` anew."""
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
        at = now + (_IDLE_CHECK if limits.stalled is None else min(_IDLE_CHECK, limits.stalled / 4))
        if limits.keepalive is not None:
            if now - self._heard >= limits.keepalive:
                self.ping()
            at = min(at, max(now + 1e-3, self._heard + limits.keepalive) if self._ping_at is None else at)
        if self._ping_at is not None:
            at = min(at, max(now + limits.keepalive_timeout / 4, self._ping_at + limits.keepalive_timeout))
        self._check_at = at

    # What the engine tells

    def _on_window_updated(self, _event: ngh2.WindowUpdated) -> None:
        if self._has_worked:
            self._refill()
        if self._updates is None:
            self._updates = Bucket(*self.limits.window_updates)
        if not self._updates.take(self._now):
            self._abuse("window_updates")

    def _on_settings(self, _event: ngh2.SettingsReceived) -> None:
        if not self._is_greeted:
            self._is_greeted = True
            self._check_at = self._now
            return
        if self._settings is None:
            self._settings = Bucket(*self.limits.settings)
        if not self._settings.take(self._now):
            self._abuse("settings")

    def _on_ping(self, _event: ngh2.PingReceived) -> None:
        if self._has_worked:
            self._refill()
        if self._pings is None:
            self._pings = Bucket(*self.limits.pings)
        if not self._pings.take(self._now):
            self._abuse("pings")

    def _on_pong(self, _event: ngh2.PingAcknowledged) -> None:
        self._ping_at = None

    def _on_empty_frame(self) -> None:
        if self._empty is None:
            self._empty = Bucket(*self.limits.empty_frames)
        if not self._empty.take(self._now):
            self._abuse("empty_frames")

    def _refill(self) -> None:
        """We sent something, which is what pings and window updates are answers to."""
        self._has_worked = False
        if self._pings is not None:
            self._pings.fill()
        if self._updates is not None:
            self._updates.fill()
