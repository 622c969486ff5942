"""
When a dead worker comes back: at once the first time, later and later while it keeps dying young.

Pure: the caller says what happened and when, and is told how long to wait. A worker that lived ``settled`` seconds has
proved that it can; its next death counts as a first one. Waits are jittered, so that workers that a bad request killed
together do not all return in the same instant.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LOAD_FAILED", "OVERRUN", "RECYCLE", "RELOAD_WAIT", "Backoff"]

RECYCLE = 75
"""Exit status of a worker that asks to be replaced, such as at its memory limit (EX_TEMPFAIL of sysexits.h)."""

OVERRUN = 124
"""Exit status of a worker that could end a batch that was over its time with itself only (as timeout(1) has it)."""

LOAD_FAILED = 78
"""Exit status when the model cannot be served: trying again soon cannot help (EX_CONFIG of sysexits.h)."""

RELOAD_WAIT = 60.0
"""Seconds to wait after that: somebody may yet put the right files there."""


_NEWBORN = 1.0
"""A worker that is over its memory limit this soon will be so again: that is a death like any other."""


class Backoff:
    """The waits of one worker. ``random`` gives numbers in [0, 1)."""

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first: float = 0.1,
        factor: float = 2.0,
        limit: float = 10.0,
        settled: float = 30.0,
    ) -> None:
        self._random, self._first, self._factor, self._limit, self._settled = random, first, factor, limit, settled
        self._young_deaths = 0

    @property
    def young_deaths(self) -> int:
        """Deaths in a row before the worker had settled."""
        return self._young_deaths

    def died(self, status: int, lived: float) -> float:
        """Seconds to wait before the next start, after a life of ``lived`` seconds that ended with ``status``."""
        if status == OVERRUN:  # the request's fault; and it lived for that long, so this is no loop without a pause
            return 0.0
        if status == RECYCLE and lived >= _NEWBORN:
            return 0.0
        if lived >= self._settled:
            self._young_deaths = 0
        self._young_deaths += 1
        if self._young_deaths == 1:
            return 0.0
        wait = min(self._first * self._factor ** (self._young_deaths - 2), self._limit)
        return wait * (0.5 + self._random() / 2)
