"""
Ends a batch that computes past its budget: first by asking the runtime, then by ending this very process.

A model in a compiled loop cannot be stopped from inside, and a worker that hangs is worth less than the few
milliseconds that its parent needs to fork another. Nothing else is lost by the kill: the gateways see their streams
break and send what was unanswered elsewhere. The exit status asks for another one at once: it was the request that was
too much for its time, and who waits longer after each such death would leave all other callers without a worker.

Whoever scores only writes a few fields around each batch. The watchdog looks at them when the budget of the batch that
it knows of is over, though a tick after the last look at the earliest: each look interrupts what computes on this core.
Only a batch whose budget ends before that, or the first one after a rest, wakes it. Between batches it stays up for a
second and looks as often as the shortest budget asks for that has woken it, so that batches that come and go between
two looks do not wake it each.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from workers.restart import OVERRUN

__all__ = ["Bell", "Watchdog"]

log = structlog.get_logger()

NEVER = float("inf")

_TICK = 0.01
"""Seconds: how far a batch may overrun its budget unnoticed, and the least time between two looks."""
_AWAKE = 1.0
"""Seconds for which a budget is remembered that was too short for the next look."""


def kill_self() -> None:
    """As sudden as SIGKILL, whatever the other threads do."""
    os._exit(OVERRUN)


class Bell(Protocol):
    """What a ``threading.Event`` has for whoever sleeps on it."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout: float | None = None, /) -> bool: ...


class Watchdog:
    """Watches one batch at a time. ``begin`` and ``end`` belong to whoever scores, on whichever thread."""

    def __init__(
        self,
        interrupt: Callable[[], None],
        clock: Callable[[], float],
        grace: float,
        kill: Callable[[], None] = kill_self,
        bell: Bell | None = None,
    ) -> None:
        self._interrupt, self._clock, self._grace, self._kill = interrupt, clock, grace, kill
        self._bell: Bell = threading.Event() if bell is None else bell
        self._lock = threading.Lock()
        self._is_looking = False
        """Under the lock: from here on ``end`` must wait for it."""
        self._deadline: float | None = None
        self._interrupted_at: float | None = None
        self._latest = NEVER
        self._soon_enough = NEVER
        """The next look comes in time for deadlines from this one on."""
        self._rung_for = NEVER
        """The deadline for which the bell was rung last."""
        self._budget = NEVER
        """The shortest that has rung the bell in this second."""
        self._awake_until = 0.0

    def start(self) -> None:
        """Look from now on, on a thread that lives as long as the process."""
        threading.Thread(target=self.run, name="watchdog", daemon=True).start()

    def begin(self, deadline: float) -> None:
        """Work starts that must end by ``deadline``."""
        # Without the lock: since ``end`` the watchdog leaves this alone, until it sees the next deadline.
        self._interrupted_at = None
        self._deadline = deadline  # before the next line, see ``run``
        if deadline < self._soon_enough:
            self._rung_for = deadline
            self._bell.set()

    def end(self) -> None:
        """The work is done; from here on it is not interrupted any more."""
        self._deadline = None  # before the next line: either a look finds nothing, or it is waited for
        if self._is_looking:
            with self._lock:
                pass

    def limit(self, latest: float) -> None:
        """No work, present or future, may go on after ``latest``; from any thread."""
        self._latest = latest
        self._bell.set()

    def run(self) -> None:
        """Never returns."""
        while True:
            # Whoever begins from here on rings, until it is known how far this look reaches; and it sees all others.
            self._soon_enough = NEVER
            following = self.look()
            self._soon_enough = following - _TICK
            # A drain time has no bound, what a thread can wait for has.
            left = max(0.0, min(threading.TIMEOUT_MAX, following - self._clock()))
            is_rung = self._bell.wait(None if following == NEVER else left)
            if is_rung:
                self._bell.clear()  # before looking
                self._learn()

    def look(self) -> float:
        """Act on the work at hand, if it is over its time; when to look again. Public for tests."""
        with self._lock:  # held while interrupting, so that the interrupt cannot hit the batch after this one
            self._is_looking = True
            try:
                return self._look(self._deadline, self._clock())
            finally:
                self._is_looking = False

    def _look(self, deadline: float | None, now: float) -> float:
        if now >= self._awake_until:
            self._budget = NEVER
        # What begins now has its budget and a tick; after ``limit`` all work has only that.
        latest = self._latest
        following = min(latest, now + self._budget + _TICK)
        if deadline is not None:
            over = now - min(deadline, latest)
            following = min(following, deadline if over < 0 else self._act(now, over))
        return max(following, now + _TICK)

    def _act(self, now: float, over: float) -> float:
        """The work is so many seconds over its time; when there is more to do."""
        if self._interrupted_at is None:
            self._interrupted_at = now
            log.warning("worker.interrupted", over_ms=round(over * 1000))
            self._interrupt()
        # Not by ``over``: a machine that stood still leaves it its grace too.
        if now - self._interrupted_at >= self._grace:
            log.error("worker.killed_itself", over_ms=round(over * 1000))
            self._kill()
        return self._interrupted_at + self._grace

    def _learn(self) -> None:
        """From the batch that has rung the bell, if it was one: others like it are going to come."""
        rung_for, self._rung_for = self._rung_for, NEVER
        now = self._clock()
        budget = max(0.0, rung_for - now)
        if budget < self._budget:
            self._budget, self._awake_until = budget, now + _AWAKE
