"""
What two deployments answered to the same rows, counted: per output column, in bulk, in bounded memory.

The states are plain and can be added up, so that what several gateway processes saw becomes one report. Columns meet by
name. Numbers agree within a tolerance; everything else (levels, texts, booleans) is a class, and agrees or flips.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from gateway.routing.sketch import Sketch

__all__ = ["ColumnTally", "Flip", "Tolerance", "WorstRow"]

_FLIPS = 200
"""Different flips that are told apart; a text column could have no end of them."""
_TEXT = 64
"""Characters of a class that are kept."""
_FAR = 1e300


class Tolerance(msgspec.Struct, frozen=True):
    """Two numbers agree when they differ by at most ``absolute + relative × |the first|``."""

    absolute: float
    relative: float


class Flip(msgspec.Struct, frozen=True):
    """What one said, and what the other."""

    primary: str
    shadow: str


class WorstRow(msgspec.Struct):
    """One row on which two deployments differ."""

    flips: int
    """Classes that are different, and values that only one has."""
    distance: float
    """The largest difference of numbers, in units of the tolerance."""
    request_id: str
    row: int
    primary: dict[str, Any]
    shadow: dict[str, Any]
    inputs: dict[str, Any] | None = None
    """Only where the endpoint's configuration says that they are kept."""

    @property
    def rank(self) -> tuple[int, float]:
        return self.flips, self.distance


class ColumnTally(msgspec.Struct):
    """One output column of two deployments."""

    kind: Literal["number", "class"]
    rows: int = 0
    agreeing: int = 0
    identical: int = 0
    only_primary_missing: int = 0
    """Rows of which only the shadow has a value."""
    only_shadow_missing: int = 0
    difference: Sketch = msgspec.field(default_factory=Sketch)
    """The shadow's number less the primary's."""
    sum: float = 0.0
    """Of these differences."""
    sum_size: float = 0.0
    """Of their sizes."""
    numbers: int = 0
    """How many differences there were."""
    flips: dict[str, dict[str, int]] = {}
    """What the primary said → what the shadow said → rows."""
    more_flips: int = 0
    """Beyond those that are told apart."""

    def add_numbers(
        self, primary: np.ndarray[Any, Any], shadow: np.ndarray[Any, Any], tolerance: Tolerance
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """
        Two tables of one line per row. Of each row whether it flipped (one is missing), and how far apart it is in
        units of the tolerance: more than 1 is disagreement.
        """
        with np.errstate(all="ignore"):
            difference = shadow - primary
            allowed = tolerance.absolute + tolerance.relative * np.abs(primary)
            size = np.abs(difference)
            distance = np.where(allowed > 0, size / allowed, 2.0 + size)  # with no tolerance nothing is near
        is_nan = np.isnan(primary), np.isnan(shadow)
        is_same = (primary == shadow) | (is_nan[0] & is_nan[1])
        is_finite = np.isfinite(difference)
        distance = np.where(is_same, 0.0, np.where(is_finite, np.minimum(distance, _FAR), _FAR)).max(axis=1)
        flipped = (is_nan[0] != is_nan[1]).any(axis=1)
        self.rows += len(primary)
        self.agreeing += int(np.count_nonzero(distance <= 1.0))
        self.identical += int(np.count_nonzero(is_same.all(axis=1)))
        self.only_primary_missing += int(np.count_nonzero((is_nan[0] & ~is_nan[1]).any(axis=1)))
        self.only_shadow_missing += int(np.count_nonzero((is_nan[1] & ~is_nan[0]).any(axis=1)))
        known = difference[is_finite]
        self.difference.add(known)
        self.sum += float(known.sum())
        self.sum_size += float(np.abs(known).sum())
        self.numbers += len(known)
        return flipped, distance

    def add_classes(self, primary: list[Any], shadow: list[Any]) -> np.ndarray[Any, Any]:
        """Two lists of one value per row. Of each row whether it flipped."""
        flipped = np.array([one != other for one, other in zip(primary, shadow, strict=True)], dtype=bool)
        self.rows += len(primary)
        same = len(primary) - int(np.count_nonzero(flipped))
        self.agreeing += same
        self.identical += same
        for place in np.flatnonzero(flipped):
            one, other = primary[place], shadow[place]
            self.only_primary_missing += one is None
            self.only_shadow_missing += other is None
            self._flipped(_named(one), _named(other), 1)
        return flipped

    def merge(self, other: ColumnTally) -> None:
        """Count what ``other`` has counted too."""
        for field in ("rows", "agreeing", "identical", "only_primary_missing", "only_shadow_missing", "numbers"):
            setattr(self, field, getattr(self, field) + getattr(other, field))
        self.sum += other.sum
        self.sum_size += other.sum_size
        self.more_flips += other.more_flips
        self.difference.merge(other.difference)
        for primary, shadows in other.flips.items():
            for shadow, times in shadows.items():
                self._flipped(primary, shadow, times)

    def _flipped(self, primary: str, shadow: str, times: int) -> None:
        known = self.flips.get(primary, {})
        if shadow not in known and sum(map(len, self.flips.values())) >= _FLIPS:
            self.more_flips += times
            return
        self.flips.setdefault(primary, known)[shadow] = known.get(shadow, 0) + times


def _named(value: Any) -> str:
    if value is None:
        return "missing"
    return ("true" if value else "false") if isinstance(value, bool) else str(value)[:_TEXT]
