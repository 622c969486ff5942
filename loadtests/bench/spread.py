"""
Whether two quantiles differ: their ratio over paired windows, and how sure that is.

The samples of a window are not independent (a pause of the machine meets many), so windows are drawn anew, not samples:
a bootstrap over pairs of neighbouring windows. Where the interval holds 1, nothing was shown.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.bench.quantile import quantile

__all__ = ["QuantileRatio", "quantile_ratio"]

DRAWS = 500

Pair = tuple[Sequence[float], Sequence[float]]
"""The values of two neighbouring windows: without, and with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileRatio:
    """``with_`` over ``without``, and the bounds between which it lies in 95 of 100 draws of the windows."""

    without: float
    with_: float
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.with_ / self.without


def quantile_ratio(pairs: Sequence[Pair], part: float, *, seed: int = 0) -> QuantileRatio:
    """Of the pooled values; NaN where there are none."""
    draw = random.Random(seed)
    drawn = []
    for _ in range(DRAWS):
        without, with_ = _quantiles(draw.choices(pairs, k=len(pairs)), part)
        drawn.append(with_ / without)
    drawn.sort()
    without, with_ = _quantiles(pairs, part)
    return QuantileRatio(without=without, with_=with_, low=quantile(drawn, 0.025), high=quantile(drawn, 0.975))


def _quantiles(pairs: Sequence[Pair], part: float) -> tuple[float, float]:
    without = sorted(value for pair in pairs for value in pair[0])
    with_ = sorted(value for pair in pairs for value in pair[1])
    return quantile(without, part), quantile(with_, part)
