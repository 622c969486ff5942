"""
What the model's thread does: batch after batch, and between batches the two reasons to step aside.

A batch whose callers have all given up, or whose stream is gone, is not computed. A runtime that is due for a rest (a
full garbage collection) rests while another worker serves: it takes the deployment's turn, announces RESTING, finishes
what still arrives, rests, and is back. Alone it rests when nothing is queued, without a word. A process past its memory
limit drains and leaves with a code that brings a fresh one at once; it takes the same turn, so that the workers of a
deployment do not all leave in one moment.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import structlog

from workers.codec import failed
from workers.inbox import Inbox, Job
from workers.lifecycle import Exit, Lifecycle, State
from workers.memory import MemoryLimit
from workers.runtimes.base import Runtime
from workers.scoring import Scoring
from workers.turns import Turn
from workers.watchdog import Watchdog
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["ModelLoop"]

log = structlog.get_logger()

_IDLE = 0.02
"""Seconds without a batch after which a due rest may begin, or the turn is asked for again."""
_QUIET = 0.005
"""Seconds without a batch after RESTING was announced that show that the gateways have heard it."""
_QUIET_LIMIT = 1.0
"""A gateway that has nobody else sends on: after this long the rest comes anyway, and its batches wait."""
_LATE = 0.05
"""Seconds after DRAINING was announced in which batches that were on their way are still taken."""


class ModelLoop:
    """Owns the runtime. ``turn`` is None for a worker that is alone."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        scoring: Scoring,
        inbox: Inbox,
        lifecycle: Lifecycle,
        watchdog: Watchdog,
        memory: MemoryLimit,
        turn: Turn | None,
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._runtime, self._scoring, self._inbox, self._lifecycle = runtime, scoring, inbox, lifecycle
        self._watchdog, self._memory, self._turn = watchdog, memory, turn
        self._timeout, self._clock = timeout, clock
        self._drain_lock = Lock()
        self._drain_until: float | None = None
        self.unfinished = 0
        """Batches that were refused because the drain time was over."""

    def run(self) -> Exit:
        """Score until drained; the reason to leave."""
        code = Exit.DRAINED
        is_due = self._runtime.is_due
        while self._drain_until is None:
            job = self._inbox.take(_IDLE if is_due else None)
            if job is not None:
                self._work(job)
                is_due = self._runtime.is_due  # nothing but work and rest changes it
            if self._memory.is_passed() and (self._turn is None or self._turn.try_take()):
                log.warning("worker.memory_limit_passed")
                self.drain(self._timeout)
                code = Exit.RECYCLE
            if is_due and self._drain_until is None:
                self._rest(is_idle=job is None)
                is_due = self._runtime.is_due
        self._finish()
        return code

    def at_once(self, job: Job) -> wire.Reply | None:
        """The reply to ``job``, scored on the server's thread; None where it belongs in the inbox."""
        if not self._inbox.is_empty:
            return None
        reply = self._scoring.at_once(job)
        if reply is not None and self._memory.is_due:
            self._inbox.wake()  # the model's thread looks, and acts
        return reply

    def drain(self, grace: float) -> None:
        """Announce DRAINING; ``run`` returns once what is accepted is answered, or after ``grace``. From any thread."""
        with self._drain_lock:
            until = self._clock() + grace
            self._drain_until = until if self._drain_until is None else min(until, self._drain_until)
            self._watchdog.limit(self._drain_until)
        self._lifecycle.move(State.DRAINING)
        self._inbox.wake()

    def _work(self, job: Job) -> None:
        """Score one batch and post its reply."""
        if not job.stream.is_closed:
            job.stream.post(self._scoring.score(job))

    def _rest(self, *, is_idle: bool) -> None:
        if self._turn is None:
            if is_idle:
                self._collect()
            return
        if not self._turn.try_take():
            return
        if self._lifecycle.move(State.RESTING):
            limit = self._clock() + _QUIET_LIMIT
            while self._clock() < limit and (job := self._inbox.take(_QUIET)) is not None:
                self._work(job)
            if self._drain_until is None:
                self._collect()
            self._lifecycle.move(State.READY)
        self._turn.give_back()

    def _collect(self) -> None:
        started = self._clock()
        self._watchdog.begin(started + self._timeout)
        try:
            self._runtime.rest()
        finally:
            self._watchdog.end()
        log.info("worker.rested", ms=round((self._clock() - started) * 1000, 1))

    def _finish(self) -> None:
        """Answer what was accepted, within the drain time; refuse the rest."""
        self._scoring.close()  # the server's thread is free now, to announce it and to read what is on its way
        late_until = self._clock() + _LATE
        while (now := self._clock()) < (until := self._drain_until or now):  # a second drain may have moved it
            job = self._inbox.take(max(0.0, min(late_until, until) - now))
            if job is not None:
                self._work(job)
            elif self._clock() >= late_until and self._inbox.is_empty:
                break
        for job in self._inbox.close():
            self.unfinished += 1
            job.stream.post(failed(job.id, wire.Failure.REFUSED, "the worker is leaving"))
