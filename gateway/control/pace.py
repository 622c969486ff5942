"""
Lets a thread of the supervisor do long work in small pieces, so that it is never in the way for long.

Reading a folder of a hundred endpoints or the digest of a model of gigabytes is much computing in one go, often on a
core on which a worker answers requests. A worker that wakes up meanwhile may have to wait for a whole slice of the
scheduler, 3 ms; where the scheduler divides the CPU between sessions, a niceness of ours changes nothing about that
(see ``workers.gentle``). So whoever does such work calls ``step`` between two pieces of it, and rests there as long as
it has computed: a worker then waits for one piece at most.

Before anything serves nobody is in the way, and a rest would only make the start longer; ``begin`` tells when that is
over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Pace"]

_PIECE = 0.0003
"""Seconds of computing that nobody notices; to rest more often would cost more than it gives."""
_LONGEST = 0.01
"""A piece that took longer cannot be made good by resting longer."""


class Pace:
    """One per process, for all its threads. ``used`` is the CPU time of the thread that asks."""

    def __init__(
        self, *, used: Callable[[], float] = time.thread_time, rest: Callable[[float], object] = time.sleep
    ) -> None:
        self._used, self._rest = used, rest
        self._is_on = False
        self._of_thread = threading.local()

    def begin(self) -> None:
        """From now on others serve."""
        self._is_on = True

    def step(self) -> None:
        """Between two pieces of work, in whatever thread does it."""
        if not self._is_on:
            return
        known, now = self._of_thread, self._used()
        computed = now - getattr(known, "rested", 0.0)  # a thread's time begins with the thread
        if computed >= _PIECE:
            self._rest(min(computed, _LONGEST))
            known.rested = self._used()
