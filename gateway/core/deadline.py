"""
A deadline is a point in monotonic time, in seconds; what is left of it is always computed, never stored.

It is a plain float rather than a class: one is made and compared several times per request, and ``time.monotonic``
is the only clock it is ever compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Clock", "Deadline", "left_ms"]

Deadline: TypeAlias = float
"""Seconds on the monotonic clock."""

Clock: TypeAlias = Callable[[], float]
"""``time.monotonic`` or a test's own."""


def left_ms(deadline: Deadline, now: float) -> int:
    """Whole milliseconds left at ``now``, rounded up, never negative: the form in which a budget crosses a wire."""
    return max(0, -int((now - deadline) * 1000 // 1))
