"""
Training/serving skew: what the store would serve, against the file that a model was trained with.

Every row of the file is read from the store and compared value by value, after the file's values were encoded and
decoded as if they had been stored: what is told is a difference of data, never one of format.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from feature_cache.encoding import RowCodec
from feature_cache.errors import FeatureError, Unavailable
from feature_cache.feast import FeastCodec
from feature_cache.keys import check_entities
from feature_cache.row import Row, RowState
from feature_cache.schema import FeatureView, Value
from feature_cache.store import FeatureStore
from feature_cache.tables import Reject, Table
from feature_cache.writer import NewRow, event_time_us

__all__ = ["Difference", "FeatureSkew", "Skew", "compare"]

BATCH_ROWS = 1024
WORST = 10
"""Differences that are shown one by one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that the store has otherwise than the file."""

    row: int
    entity: Sequence[object]
    feature: str
    in_file: Value
    in_store: Value
    size: float
    """Of numbers the difference relative to the larger one; 1 for everything else."""


@dataclass(slots=True)
class FeatureSkew:
    """How one feature compares over all rows."""

    same: int = 0
    different: int = 0
    missing: int = 0
    """The file has a value, the store none."""
    stale: int = 0
    """Older than the view allows, among those that were compared."""
    largest: float = 0.0
    """The largest of the differences."""


@dataclass(slots=True)
class Skew:
    """What was found."""

    features: dict[str, FeatureSkew]
    rows: int = 0
    not_found: int = 0
    corrupt: int = 0
    older: int | None = None
    """Rows of which the store has an older version than the file; None where the file has no times."""
    newer: int | None = None
    rejects: list[Reject] = field(default_factory=list)
    worst: list[Difference] = field(default_factory=list)
    """Largest first."""

    @property
    def is_clean(self) -> bool:
        """Whether the store would serve just what is in the file."""
        differs = any(each.different or each.missing for each in self.features.values())
        return not (differs or self.not_found or self.corrupt or self.rejects)


async def compare(
    table: Table,
    view: FeatureView,
    store: FeatureStore,
    *,
    now_us: int,
    on_progress: Callable[[int], None] = lambda _position: None,
) -> Skew:
    """Raises ``BadTable``, or ``Unavailable`` when the store does not answer."""
    return await _Comparison(view, store, now_us).run(table, on_progress)


class _Comparison:
    def __init__(self, view: FeatureView, store: FeatureStore, now_us: int) -> None:
        self._view, self._store, self._now_us = view, store, now_us
        self._names = [feature.name for feature in view.features]
        self._limits_us = [
            None if (limit := view.freshness_of(feature)) is None else limit * 1_000_000 for feature in view.features
        ]
        self._compact = RowCodec(view)
        self._feast = FeastCodec(view) if view.format == "feast" else None
        self._skew = Skew({name: FeatureSkew() for name in self._names})
        self._worst: list[tuple[float, int, Difference]] = []
        self._order = count()

    async def run(self, table: Table, on_progress: Callable[[int], None]) -> Skew:
        skew = self._skew
        if table.has_time:
            skew.older = skew.newer = 0
        for batch in table.batches(BATCH_ROWS):
            skew.rejects += batch.rejects
            rows: list[tuple[int, NewRow, Row]] = []
            for number, row in batch.rows:
                try:
                    rows.append((number, row, self._as_stored(row)))
                except FeatureError as error:
                    skew.rejects.append(Reject(number, str(error)))
            found = await self._store.read(self._view.name, [row.entity for _, row, _ in rows])
            for (number, row, wanted), got in zip(rows, found, strict=True):
                self._compare(number, row.entity, wanted, got)
            on_progress(batch.position)
        skew.worst = [difference for _, _, difference in sorted(self._worst, reverse=True)]
        return skew

    def _as_stored(self, row: NewRow) -> Row:
        check_entities(self._view, row.entity)
        assert not isinstance(row.values, Mapping)  # noqa: S101  # tables give values in the view's order
        time_us = event_time_us(self._view, row.event_time)
        if self._feast is None:
            return self._compact.decode(self._compact.encode(row.values, time_us))
        fields = self._feast.encode(row.values, time_us)
        return self._feast.decode([fields.get(name) for name in self._feast.fields])

    def _compare(self, number: int, entity: Sequence[object], wanted: Row, got: Row) -> None:
        skew = self._skew
        skew.rows += 1
        if got.state in (RowState.UNAVAILABLE, RowState.LAST_KNOWN):
            raise Unavailable(f"row {number}: the feature store cannot be asked: {got.error}")
        if got.state is RowState.CORRUPT:
            skew.corrupt += 1
            return
        if got.state is RowState.NOT_FOUND:
            skew.not_found += 1
            return
        stored_us, file_us = got.event_time_us or 0, wanted.event_time_us or 0
        if skew.older is not None and skew.newer is not None:
            skew.older += stored_us < file_us
            skew.newer += stored_us > file_us
        for place, name in enumerate(self._names):
            one = skew.features[name]
            limit = self._limits_us[place]
            one.stale += limit is not None and self._now_us - stored_us > limit
            is_missing, is_absent = got.missing >> place & 1, wanted.missing >> place & 1
            if is_missing and not is_absent:
                one.missing += 1
                continue
            size = _difference(wanted.values[place], got.values[place])
            if not size:
                one.same += 1
                continue
            one.different += 1
            one.largest = max(one.largest, size)
            difference = Difference(number, entity, name, wanted.values[place], got.values[place], size)
            # Of equal ones the first stay.
            heapq.heappush(self._worst, (size, -next(self._order), difference))
            if len(self._worst) > WORST:
                heapq.heappop(self._worst)


def _difference(wanted: Value, got: Value) -> float:
    """0 for the same; of numbers relative to the larger one."""
    if type(wanted) is type(got) and wanted == got:
        return 0.0
    if isinstance(wanted, float) and isinstance(got, float) and math.isnan(wanted) and math.isnan(got):
        return 0.0
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return max((_difference(a, b) for a, b in zip(wanted, got, strict=True)), default=0.0)
    if _is_number(wanted) and _is_number(got):
        a, b = float(wanted), float(got)  # type: ignore[arg-type]  # looked at above
        if math.isfinite(a) and math.isfinite(b):
            # Not 0 although two whole numbers beyond 53 bits may be the same float.
            return max(abs(a - b) / max(abs(a), abs(b), 1e-300), 1e-17)
    return 1.0


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
