"""
Ends a batch that computes past its budget: first by asking the runtime, then with SIGKILL to this very process.

A model in a compiled loop cannot be stopped from inside, and a worker that hangs is worth less than the few
milliseconds that its parent needs to fork another. Nothing else is lost by the kill: the gateways see their streams
break and send what was unanswered elsewhere.

Whoever scores only writes a few fields around each batch. The watchdog looks at them every tick while there is
work, and for a second after it last saw some; then it sleeps on an event until there is work again. So a worker that
has nothing to do costs nothing, and one that is asked now and then is not woken here for every batch.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import structlog

__all__ = ["Watchdog"]

log = structlog.get_logger()

_TICK = 0.01
"""Seconds between two looks: how far a batch may overrun its budget unnoticed."""
_AWAKE = 100
"""Looks that find no work before it goes to sleep."""


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Watchdog:
    """Watches one batch at a time. ``begin`` and ``end`` belong to whoever scores, on whichever thread."""

    def __init__(
        self,
        interrupt: Callable[[], None],
        clock: Callable[[], float],
        grace: float,
        kill: Callable[[], None] = kill_self,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interrupt, self._clock, self._grace, self._kill, self._pause = interrupt, clock, grace, kill, pause
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._is_asleep = False
        self._deadline: float | None = None
        self._interrupted_at: float | None = None
        self._latest: float | None = None

    def start(self) -> None:
        """Look from now on, on a thread that lives as long as the process."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def begin(self, deadline: float) -> None:
        """Work starts that must end by ``deadline``."""
        # Without the lock: since ``end`` the watchdog leaves this alone, until it sees the next deadline.
        self._interrupted_at = None
        self._deadline = deadline
        if self._is_asleep:
            self._work.set()

    def end(self) -> None:
        """The work is done; from here on it is not interrupted any more."""
        with self._lock:
            self._deadline = None

    def limit(self, latest: float) -> None:
        """No work, present or future, may go on after ``latest``; from any thread."""
        with self._lock:
            self._latest = latest

    def look(self) -> None:
        """Act on the work at hand, if it is over its time. Called every tick; public for tests."""
        with self._lock:  # held while interrupting, so that the interrupt cannot hit the batch after this one
            deadline = self._deadline
            if deadline is None:
                return
            if self._latest is not None:
                deadline = min(deadline, self._latest)
            now = self._clock()
            over = now - deadline
            if over < 0:
                return
            if self._interrupted_at is None:
                self._interrupted_at = now
                log.warning("worker.interrupted", over_ms=round(over * 1000))
                self._interrupt()
            if now - self._interrupted_at < self._grace:  # not over: a machine that stood still leaves it its grace too
                return
        log.error("worker.killed_itself", over_ms=round(over * 1000))
        self._kill()

    def _run(self) -> None:
        idle = _AWAKE
        while True:
            if idle >= _AWAKE:
                self._is_asleep = True
                if self._deadline is None:  # else begin() came before it could see the flag
                    self._work.wait()
                self._work.clear()
                self._is_asleep = False
                idle = 0
            self._pause(_TICK)
            idle = 0 if self._deadline is not None else idle + 1
            self.look()
