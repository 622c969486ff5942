"""
Quantiles of any number of values in bounded memory, exact to two percent, and addable across processes. Pure.

Values are counted in buckets whose bounds grow by a fixed factor (as in DDSketch), apart by sign. P² needs less room,
but two of its states cannot be added up, and several gateways compare the same shadow.
"""

from __future__ import annotations

from math import log
from typing import Any

import msgspec
import numpy as np

__all__ = ["Sketch"]

_GROWTH = 1.04
_LOG = log(_GROWTH)
_EDGE = 880
"""Buckets to either side of 1: from 1e-15, below which a value counts as 0, to 1e15, above which all are one bucket."""
_LEAST = 1e-15


class Sketch(msgspec.Struct):
    """Of values that are numbers; infinite ones count as the largest."""

    above: dict[int, int] = {}
    """Bucket → how many positive values."""
    below: dict[int, int] = {}
    """The same of negative ones."""
    zeros: int = 0

    @property
    def count(self) -> int:
        return self.zeros + sum(self.above.values()) + sum(self.below.values())

    def add(self, values: np.ndarray[Any, Any]) -> None:
        """Values of any shape, without NaN."""
        size = np.abs(values)
        is_zero = size < _LEAST
        self.zeros += int(np.count_nonzero(is_zero))
        for side, of_sign in ((self.above, values > 0), (self.below, values < 0)):
            chosen = size[of_sign & ~is_zero]
            if not len(chosen):
                continue
            places = np.ceil(np.log(np.minimum(chosen, 1e300)) / _LOG).clip(-_EDGE, _EDGE).astype(np.int64)
            for place, times in zip(*np.unique(places, return_counts=True), strict=True):
                side[int(place)] = side.get(int(place), 0) + int(times)

    def merge(self, other: Sketch) -> None:
        """Count what ``other`` has counted too."""
        self.zeros += other.zeros
        for side, more in ((self.above, other.above), (self.below, other.below)):
            for place, times in more.items():
                side[place] = side.get(place, 0) + times

    def quantile(self, q: float) -> float | None:
        """The value below which a share ``q`` of all values lies; None of nothing."""
        count = self.count
        if not count:
            return None
        rank = min(count - 1, int(q * count))
        for place in sorted(self.below, reverse=True):
            rank -= self.below[place]
            if rank < 0:
                return -_middle(place)
        rank -= self.zeros
        if rank < 0:
            return 0.0
        for place in sorted(self.above):
            rank -= self.above[place]
            if rank < 0:
                return _middle(place)
        return None

    def bars(self, number: int) -> list[tuple[float, int]]:
        """Values and how often they came, from the least to the largest, in at most ``number`` bars: for a picture."""
        points = [(-_middle(place), self.below[place]) for place in sorted(self.below, reverse=True)]
        points += [(0.0, self.zeros)] if self.zeros else []
        points += [(_middle(place), self.above[place]) for place in sorted(self.above)]
        if len(points) < 2:
            return points
        least, most = points[0][0], points[-1][0]
        width = (most - least) / number
        heights = [0] * number
        for value, times in points:
            heights[min(number - 1, int((value - least) / width))] += times
        return [(least + width * (i + 0.5), height) for i, height in enumerate(heights)]


def _middle(place: int) -> float:
    return float(2 * _GROWTH**place / (_GROWTH + 1))
