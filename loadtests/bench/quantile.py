"""Quantiles of measured values, the same way everywhere: the nearest rank, so that it is a value that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

__all__ = ["quantile"]


def quantile(ordered: Sequence[float], part: float) -> float:
    """The value below or at which ``part`` of the ascending ``ordered`` lie; NaN when there are none."""
    if not ordered:
        return float("nan")
    return ordered[max(0, ceil(part * len(ordered)) - 1)]
