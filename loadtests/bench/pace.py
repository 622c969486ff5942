"""
How fast this interpreter is on this machine: the least CPU time of a fixed piece of Python, in microseconds.

An interpreter compiled without profile-guided optimization takes half as much again, and says nothing of it. The least
of many, because a shared machine is slower than it can be most of the time, but never faster.
"""

from __future__ import annotations

import time

__all__ = ["least_us"]


class _Row:
    __slots__ = ("name", "values")

    def __init__(self, name: str) -> None:
        self.name = name
        self.values = [0.5, 1.5, 2.5]

    def total(self, more: float) -> float:
        known = {"name": self.name, "more": more}
        return sum(self.values) + known["more"] * len(known)  # type: ignore[operator]


def least_us(seconds: float = 0.5) -> float:
    """Takes that long."""
    ends = time.monotonic() + seconds
    least = float("inf")
    while time.monotonic() < ends:
        started = time.thread_time_ns()
        for number in range(200):
            _Row("row").total(number)
        least = min(least, (time.thread_time_ns() - started) / 1000)
    return round(least, 1)
