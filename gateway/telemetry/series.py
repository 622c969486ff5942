"""
The figures of requests of one kind: how many there were, how long each took, and how long each of its stages.

A request is noted with one append and counted with a few hundred others, or when somebody looks. In bulk everything
about it costs less than a microsecond, where a binary search for each of its stages would cost eight.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
from msgspec.structs import astuple

from gateway.core.timeline import MARKS, Timeline
from gateway.telemetry.histogram import REQUEST_BOUNDS, STAGE_BOUNDS, Histogram

__all__ = ["Series"]

_STAGES = (*MARKS, "compute")
"""As they are counted."""
_SHOWN = (*MARKS[:-1], "compute", MARKS[-1])
"""As they are shown: the worker's own figure behind the stage that it is a part of."""
_READINGS = len(Timeline.__struct_fields__)
_NS = 1_000_000_000

_EDGES = np.array([round(bound * _NS) for bound in STAGE_BOUNDS])
_WHOLE_EDGES = np.array([round(bound * _NS) for bound in REQUEST_BOUNDS])
_FIRST = np.arange(len(_STAGES)) * (len(_EDGES) + 1)
"""Where the buckets of each stage begin, laid end to end."""


class Series:
    """Everything counted about requests of one endpoint, deployment, protocol and status."""

    __slots__ = ("_buckets", "_count", "_sums", "_whole_buckets", "_whole_sum", "noted")

    def __init__(self) -> None:
        self.noted: list[Timeline] = []
        """Requests that ended and are not counted yet; whoever adds one has them counted when they are many."""
        self._count = 0
        self._buckets = np.zeros(len(_STAGES) * (len(_EDGES) + 1), np.int64)
        self._sums = np.zeros(len(_STAGES), np.int64)
        self._whole_buckets = np.zeros(len(_WHOLE_EDGES) + 1, np.int64)
        self._whole_sum = 0

    @property
    def count(self) -> int:
        """Requests."""
        return self._count + len(self.noted)

    @property
    def seconds(self) -> Histogram:
        """Whole requests."""
        self.settle()
        return Histogram(REQUEST_BOUNDS, self._whole_buckets.tolist(), self._whole_sum / _NS)

    @property
    def stages(self) -> dict[str, Histogram]:
        """By stage; those that some request has passed."""
        self.settle()
        buckets = dict(zip(_STAGES, self._buckets.reshape(len(_STAGES), -1).tolist(), strict=True))
        sums = dict(zip(_STAGES, self._sums.tolist(), strict=True))
        return {
            stage: Histogram(STAGE_BOUNDS, buckets[stage], sums[stage] / _NS) for stage in _SHOWN if any(buckets[stage])
        }

    def add_untimed(self) -> None:
        """A request ended of which nothing else is known."""
        self._count += 1

    def settle(self) -> None:
        """Count what was noted."""
        noted, self.noted = self.noted, []
        if not noted:
            return
        number = len(noted)
        self._count += number
        readings = np.fromiter(chain.from_iterable(map(astuple, noted)), np.int64, number * _READINGS)
        readings = readings.reshape(number, _READINGS)
        marks, done, compute = readings[:, :-2], readings[:, -2], readings[:, -1]
        whole = np.maximum(marks[:, -1], done) - marks[:, 0]
        took = np.empty((number, len(_STAGES)), np.int64)
        # Where there is no mark, the one before it stands: no time passes between the two.
        reached = np.maximum.accumulate(marks, axis=1)
        np.subtract(reached[:, 1:], reached[:, :-1], out=took[:, :-1])
        np.maximum(compute, 0, out=took[:, -1])
        is_told = np.empty(took.shape, np.bool_)
        np.not_equal(marks[:, 1:], 0, out=is_told[:, :-1])
        np.greater_equal(compute, 0, out=is_told[:, -1])
        places = np.searchsorted(_EDGES, took) + _FIRST
        self._buckets += np.bincount(places[is_told], minlength=len(self._buckets))
        self._sums += took.sum(axis=0)
        self._whole_buckets += np.bincount(np.searchsorted(_WHOLE_EDGES, whole), minlength=len(self._whole_buckets))
        self._whole_sum += int(whole.sum())
