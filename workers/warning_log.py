"""
What a model warns of, in the worker's log: with the deployment, the message and its class.

While a model is warmed up each message is told once, and so many different ones at most. A model that warns of requests
does so in batch after batch, often in the same words and sometimes with a number in them. So each
message is told once a minute, a minute holds so many different ones at most, and what was left out is counted.
Messages are the model's own words and are passed on as they are; nothing of a request is added to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from workers.options import GroupOptions
from workers.runtimes.base import Warned

__all__ = ["WarmUpLog", "WarningLog"]

log = structlog.get_logger()

_WINDOW = 60.0
_DIFFERENT = 20
"""
Messages that are told within a window, or of a warm-up, and kept: enough for any model that does not put numbers into
them.
"""


class WarningLog:
    """``worker`` is its name, ``endpoint/deployment/index``. One batch at a time may tell."""

    def __init__(self, worker: str, clock: Callable[[], float]) -> None:
        self._names = {"deployment": worker.rpartition("/")[0], "worker": worker}
        self._clock = clock
        self._told: set[Warned] = set()
        self._left_out = 0
        self._until = float("-inf")

    def tell(self, warnings: Sequence[Warned]) -> None:
        """Log what one batch was warned of, as far as this minute has room for it."""
        now = self._clock()
        if now >= self._until:
            self._begin(now)
        for warned in warnings:
            if warned in self._told or len(self._told) >= _DIFFERENT:
                self._left_out += 1
                continue
            self._told.add(warned)
            message, kind = warned
            log.warning("worker.model_warned", **self._names, message=message, **{"class": kind})

    def _begin(self, now: float) -> None:
        if self._left_out:
            log.warning("worker.model_warnings_left_out", **self._names, count=self._left_out, in_s=_WINDOW)
        self._told.clear()
        self._left_out = 0
        self._until = now + _WINDOW


class WarmUpLog:
    """What the rows that nobody sent were warned of; one a load."""

    def __init__(self, group: GroupOptions) -> None:
        self._deployment = group.workers[0].name.rpartition("/")[0] if group.workers else group.model
        self._warned: dict[Warned, None] = {}
        self._left_out = 0

    def note(self, warnings: Sequence[Warned]) -> None:
        """What one batch was warned of."""
        for warned in warnings:
            if warned in self._warned or len(self._warned) < _DIFFERENT:
                self._warned[warned] = None
            else:
                self._left_out += 1

    def tell(self) -> None:
        """Log all of it."""
        for message, kind in self._warned:
            log.warning("worker.warm_up_warned", deployment=self._deployment, message=message, **{"class": kind})
        if self._left_out:
            log.warning("worker.warm_up_warnings_left_out", deployment=self._deployment, count=self._left_out)
