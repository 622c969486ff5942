"""
What a feature view is: the keys by which entities are found, the features they have, and what each one does when its
value is missing or too old.

A view is one file, ``features/<view>.yaml``. Everything that can be wrong with it is refused when it is read, with the
name of the field and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Literal, TypeAlias

import msgspec

from feature_cache.datatype import ENTITY_TYPES, FEATURE_TYPES, DataType, datatype
from feature_cache.duration import seconds

__all__ = ["Entity", "FeastSource", "Feature", "FeatureView", "OnMissing", "OnStale", "Value"]

Value: TypeAlias = object
"""None (null), int, float, bool, str, bytes, or a list of one of them; see ``datatype``."""

OnMissing: TypeAlias = Literal["fail", "default", "null"]
OnStale: TypeAlias = Literal["fail", "default", "null", "stale_ok"]
"""``stale_ok`` takes the old value, and says that it is old."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


class Entity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key by which a row is found."""

    name: str
    type: str = "int64"

    def __post_init__(self) -> None:
        _check_name("name", self.name)
        if self.type not in ENTITY_TYPES:
            raise ValueError(f"type: expected one of {', '.join(ENTITY_TYPES)}, got {self.type!r}")

    @property
    def datatype(self) -> DataType:
        return datatype(self.type)


class Feature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value of a row. What it leaves open, the view says."""

    name: str
    type: str
    default: object = None
    freshness: float | str | None = None
    """How old a value may be: seconds, or ``90s``, ``15m``, ``24h``, ``7d``. None: as the view says."""
    on_missing: OnMissing | None = None
    on_stale: OnStale | None = None
    description: str = ""

    def __post_init__(self) -> None:
        _check_name("name", self.name)
        if self.type not in FEATURE_TYPES:
            raise ValueError(f"type: expected one of {', '.join(FEATURE_TYPES)}, got {self.type!r}")
        _check("freshness", self.freshness, seconds)
        if self.default is not None:
            _check("default", _as_written(self.type, self.default), self.datatype.check)

    @property
    def datatype(self) -> DataType:
        return datatype(self.type)

    @property
    def default_value(self) -> Value:
        """The default as the feature's type holds it."""
        return None if self.default is None else self.datatype.check(_as_written(self.type, self.default))


class FeastSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Feast keeps the view; see feature_store.yaml."""

    project: str
    view: str
    """Name of Feast's feature view, with ``_v<N>`` if versions of views are enabled there."""
    entity_key_version: Literal[1, 2, 3] = 3
    """``entity_key_serialization_version``."""
    counts_keys: bool = True
    """Version 3 only: false for data written by Feast 0.40 to 0.43, whose keys do not begin with the number of keys."""

    def __post_init__(self) -> None:
        for field in ("project", "view"):
            if not getattr(self, field):
                raise ValueError(f"{field}: expected a name")


class FeatureView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of features by entity."""

    name: str
    entities: tuple[Entity, ...]
    features: tuple[Feature, ...]
    source: Literal["client_or_cache", "cache_only"] = "client_or_cache"
    """``cache_only``: a value that the client sends for a feature of this view is refused."""
    format: Literal["compact", "feast"] = "compact"
    feast: FeastSource | None = None
    """Needed with ``format: feast``."""
    freshness: float | str | None = None
    """How old a value may be, for features that do not say so themselves. None: any age."""
    ttl: float | str | None = None
    """How long the store keeps a row after it was written, such as ``7d``. None: for ever."""
    on_missing: OnMissing = "fail"
    on_stale: OnStale = "fail"
    description: str = ""

    def __post_init__(self) -> None:
        _check_name("name", self.name)
        if not self.entities:
            raise ValueError("entities: expected at least one")
        if not self.features:
            raise ValueError("features: expected at least one")
        names = [each.name for each in self.entities] + [each.name for each in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"features: expected each name once, {', '.join(twice)} is there twice")
        _check("freshness", self.freshness, seconds)
        _check("ttl", self.ttl, seconds)
        if (self.format == "feast") != (self.feast is not None):
            raise ValueError("feast: expected with format: feast, and only then")
        for feature in self.features:
            if feature.default is None and "default" in (self.on_missing_of(feature), self.on_stale_of(feature)):
                raise ValueError(f"features: {feature.name}: expected a default, its policy is to use it")

    def on_missing_of(self, feature: Feature) -> OnMissing:
        return feature.on_missing or self.on_missing

    def on_stale_of(self, feature: Feature) -> OnStale:
        return feature.on_stale or self.on_stale

    def freshness_of(self, feature: Feature) -> float | None:
        """Seconds."""
        length = self.freshness if feature.freshness is None else feature.freshness
        return None if length is None else seconds(length)

    @property
    def ttl_seconds(self) -> float | None:
        return None if self.ttl is None else seconds(self.ttl)

    @property
    def positions(self) -> dict[str, int]:
        """Feature's name → its place in a row."""
        return {feature.name: place for place, feature in enumerate(self.features)}


def _check_name(field: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{field}: expected a letter, then letters, digits, '_', '-' or '.', got {name!r}")


def _check(field: str, value: object, check: Callable[..., object]) -> None:
    if value is None:
        return
    try:
        check(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field}: {error}") from None


def _as_written(kind: str, value: object) -> object:
    """YAML and JSON have no bytes, and times with a zone only as text; a list of them is written the same way."""
    if isinstance(value, (list, tuple)):
        element = datatype(kind).element
        return [_as_written(element, item) for item in value]
    if kind == "bytes" and isinstance(value, str):
        return value.encode()
    if kind == "timestamp" and isinstance(value, str):
        return datetime.fromisoformat(value)
    if kind == "timestamp" and isinstance(value, date) and not isinstance(value, datetime):
        raise ValueError("expected a time with a time zone")
    return value
