"""
How a server's connection ends in good order: asked to, of old age, or because nothing happens on it.

Draining takes two GOAWAYs: the first tells the peer to start nothing more, the second, a round trip later, which calls
were accepted. The connection ends with the last of them, and soon if there is none, also for a peer that is in the
middle of a call's headers and does not come to their end.
"""

from __future__ import annotations

from typing import Final

import ngh2

from h2grpc.counters import Counters
from h2grpc.limits import Limits
from h2grpc.patience import PatientConnection

__all__ = ["LeavingConnection"]

_DRAIN: Final = b"drain\0\0\0"
_DRAIN_WAIT: Final = 1.0
"""Seconds for the round trip between the two GOAWAYs."""


class LeavingConnection(PatientConnection):
    __slots__ = ("_drain_at", "_drained_at", "_idle_since", "_is_draining", "_leave_at", "_newest_seen")

    def __init__(self, limits: Limits, counters: Counters, now: float, *, serves_others: bool) -> None:
        super().__init__(limits, counters, now, serves_others=serves_others)
        self._idle_since = now
        self._newest_seen = 0
        """The last request at the last look: short ones come and go between two looks."""
        self._drain_at: float | None = None
        self._drained_at: float | None = None
        self._is_draining = False
        self._leave_at: float | None = None

    def drain(self, now: float, grace: float | None = None) -> None:
        """Take no new calls; end with the last one, or ``grace`` seconds from now."""
        if self.is_ended or self._is_draining:
            return
        self._is_draining = True
        self._now = now
        self._engine.send_shutdown_notice()
        self._engine.ping(_DRAIN)
        self._drain_at = now + _DRAIN_WAIT
        self._check_at = min(self._check_at, self._drain_at)
        if grace is not None:
            self._leave_at = now + grace

    def leave(self, reason: str) -> None:
        """End every call, and then the connection."""
        raise NotImplementedError

    @property
    def is_busy(self) -> bool:
        return bool(self.calls or self._others or (not self.is_ended and self.unsent_in_all))

    def _really_drain(self) -> None:
        if self._drain_at is not None:
            self._drain_at, self._drained_at = None, self._now
            self._engine.send_goaway()
            self._check_at = min(self._check_at, self._now + self.limits.linger)

    def _wear_out(self) -> None:
        self.drain(self._now)

    def _on_pong(self, event: ngh2.PingAcknowledged) -> None:
        super()._on_pong(event)
        if event.opaque_data == _DRAIN:
            self._really_drain()

    def _check(self, now: float) -> None:
        limits = self.limits
        super()._check(now)
        if self.is_ended:
            return
        if self._drain_at is not None and now >= self._drain_at:
            self._really_drain()
        if not self._is_greeted:
            if self._drain_at is not None:
                self._check_at = min(self._check_at, self._drain_at)
            return
        if self._leave_at is not None and now >= self._leave_at:
            self.leave("the connection has come of age")
            return
        if self.is_busy or self._newest != self._newest_seen:
            self._idle_since, self._newest_seen = now, self._newest
        empty_at = None
        if self._drained_at is not None:
            empty_at = max(self._drained_at, self._idle_since) + limits.linger
            if now >= empty_at:  # the engine would wait for the end of headers that have begun
                self.close(0, "the peer did not leave")
                return
        if not self._is_draining:
            is_old = limits.max_age is not None and now - self._started >= limits.max_age
            is_idle = limits.max_idle is not None and now - self._idle_since >= limits.max_idle
            if is_old or is_idle:
                self.counters["aged" if is_old else "idled"] += 1
                self.drain(now, limits.max_age_grace)
        ats = [self._drain_at, self._leave_at, empty_at, self._stop_those_run_out(now), self._check_patience(now)]
        if not self._is_draining:
            ats.append(None if limits.max_age is None else self._started + limits.max_age)
            # It looks seldom and counts from its last look: nobody is put out early, and everybody in twice the time.
            ats.append(
                None if limits.max_idle is None else max(self._idle_since, now - limits.max_idle / 2) + limits.max_idle
            )
        self._check_at = min([self._check_at, *(at for at in ats if at is not None)])
