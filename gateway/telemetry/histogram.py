"""
A histogram that costs a binary search and two additions to observe.

``prometheus_client`` has one too, with a lock and a label lookup in front of it, at fifty times the price; here its
format is only written when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["REQUEST_BOUNDS", "STAGE_BOUNDS", "Histogram"]

REQUEST_BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds; dense where a latency goal of single-digit milliseconds is decided."""

STAGE_BOUNDS = (0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
"""Seconds; most stages take microseconds, the model takes the rest."""


class Histogram:
    """Counts per bucket, not cumulative; the last is for everything above the bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...], counts: list[int] | None = None, total: float = 0.0) -> None:
        self.bounds = bounds
        self.counts = counts or [0] * (len(bounds) + 1)
        self.sum = total

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times
