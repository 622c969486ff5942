"""
From a row to what a model is given: what the view says about missing and stale values, and nothing else.

Pure, and compiled once per view: a row without gaps, young enough for all its features, goes through untouched.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from feature_cache.errors import CorruptValue, MissingFeature, NotHeld, StaleFeature
from feature_cache.row import Row, RowState
from feature_cache.schema import Feature, FeatureView, Value

__all__ = ["FeatureStatus", "Policy", "Resolved"]


class FeatureStatus(Enum):
    """Where the value of one feature comes from."""

    PRESENT = "present"
    """As stored; null too."""
    STALE = "stale"
    """As stored, but older than the view allows, or the last known while the store is gone: the policy takes it."""
    DEFAULT = "default"
    """The view's default."""
    NULL = "null"
    """Null, because there is no value that may be used."""


@dataclass(slots=True, eq=False)
class Resolved:
    """Values of one row in the view's order, with their statuses. Plain slots: one is made per row."""

    values: tuple[Value, ...]
    statuses: tuple[FeatureStatus, ...]
    stale: int = 0
    """How many values were older than allowed, whatever was done about them."""


class Policy:
    """Of one view; ``used`` are the places of the features that matter, None: all. Others pass as they are."""

    __slots__ = ("_all_present", "_count", "_defaults", "_features", "_limits_us", "_mask", "_strictest_us", "view")

    def __init__(self, view: FeatureView, used: Collection[int] | None = None) -> None:
        self.view = view
        places = range(len(view.features)) if used is None else used
        self._mask = sum(1 << place for place in places)
        self._features = view.features
        self._count = len(view.features)
        self._all_present = (FeatureStatus.PRESENT,) * self._count
        self._defaults = tuple(feature.default_value for feature in view.features)
        freshness = [
            view.freshness_of(feature) if place in places else None for place, feature in enumerate(view.features)
        ]
        self._limits_us = tuple(None if limit is None else int(limit * 1_000_000) for limit in freshness)
        self._strictest_us = min((limit for limit in self._limits_us if limit is not None), default=None)

    @property
    def is_ageless(self) -> bool:
        """Whether it makes no difference how old a value is."""
        return self._strictest_us is None

    def plain(self, row: Row, now_us: int) -> tuple[Value, ...] | None:
        """The row's values, when there is nothing to decide about them; else None, and ``resolve`` decides."""
        if row.state is not RowState.FOUND or row.missing & self._mask:
            return None
        if self._strictest_us is not None and now_us - (row.event_time_us or 0) > self._strictest_us:
            return None
        return row.values

    def resolve(self, row: Row, now_us: int) -> Resolved:
        """
        What to use of a row at ``now_us`` (microseconds since 1970).

        Raises ``MissingFeature`` or ``StaleFeature`` where the policy is ``fail``, and ``CorruptValue`` whatever the
        policy is: a row that cannot be trusted is not scored.
        """
        if row.state is RowState.FOUND and not row.missing & self._mask:
            if self._strictest_us is None or now_us - (row.event_time_us or 0) <= self._strictest_us:
                return Resolved(row.values, self._all_present)
        elif row.state is RowState.CORRUPT:
            raise CorruptValue(row.error)
        return self._resolve_each(row, now_us)

    def _resolve_each(self, row: Row, now_us: int) -> Resolved:
        values: list[Value] = []
        statuses: list[FeatureStatus] = []
        stale = 0
        has_values = row.state in (RowState.FOUND, RowState.LAST_KNOWN)
        age_us = now_us - row.event_time_us if row.event_time_us is not None else 0
        for place, feature in enumerate(self._features):
            if not self._mask >> place & 1:
                values.append(row.values[place] if has_values else None)
                statuses.append(FeatureStatus.PRESENT)
                continue
            limit = self._limits_us[place]
            if not has_values or row.missing >> place & 1:
                action: str = self.view.on_missing_of(feature)
                error: NotHeld | None = MissingFeature(self._missing(row, feature)) if action == "fail" else None
            elif row.state is RowState.LAST_KNOWN or (limit is not None and age_us > limit):
                stale += 1
                action = self._when_stale(row, feature, is_old=limit is not None and age_us > limit)
                error = StaleFeature(self._stale(row, feature)) if action == "fail" else None
            else:
                values.append(row.values[place])
                statuses.append(FeatureStatus.PRESENT)
                continue
            if error is not None:
                raise error
            if action == "stale_ok":
                values.append(row.values[place])
                statuses.append(FeatureStatus.STALE)
            elif action == "default":
                values.append(self._defaults[place])
                statuses.append(FeatureStatus.DEFAULT)
            else:
                values.append(None)
                statuses.append(FeatureStatus.NULL)
        return Resolved(tuple(values), tuple(statuses), stale)

    def _when_stale(self, row: Row, feature: Feature, *, is_old: bool) -> str:
        """While the store is gone, a value that may not be stale counts as missing, unless it is too old as well."""
        action = self.view.on_stale_of(feature)
        if row.state is RowState.LAST_KNOWN and action != "stale_ok" and not is_old:
            return self.view.on_missing_of(feature)
        return action

    def _missing(self, row: Row, feature: Feature) -> str:
        where = f'view "{self.view.name}", feature "{feature.name}"'
        if row.state is RowState.UNAVAILABLE:
            return f"{where}: the feature store cannot be asked: {row.error}"
        if row.state is RowState.NOT_FOUND:
            return f"{where}: nothing is stored for this entity"
        return f"{where}: this entity has no value of it"

    def _stale(self, row: Row, feature: Feature) -> str:
        where = f'view "{self.view.name}", feature "{feature.name}"'
        if row.state is RowState.LAST_KNOWN:
            return f"{where}: the feature store cannot be asked"
        return f"{where}: the stored value is older than the view allows"
