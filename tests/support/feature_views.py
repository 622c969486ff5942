"""Views for tests, and rows of them put into a real store as the writer does: same keys, same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from feature_cache.encoding import RowCodec
from feature_cache.feast import FeastCodec, feast_key_maker
from feature_cache.keys import key_maker
from feature_cache.schema import Entity, FeastSource, Feature, FeatureView

__all__ = ["TIME_US", "feast_view", "make_view", "put"]

TIME_US = 1_700_000_000_000_000


def make_view(
    features: Mapping[str, str] | None = None,
    entities: Mapping[str, str] | None = None,
    name: str = "driver",
    **settings: Any,
) -> FeatureView:
    """By default one ``id`` and one number ``rating``."""
    return FeatureView(
        name=name,
        entities=tuple(Entity(name=each, type=kind) for each, kind in (entities or {"id": "int64"}).items()),
        features=tuple(Feature(name=each, type=kind) for each, kind in (features or {"rating": "float64"}).items()),
        **settings,
    )


def feast_view(
    features: Mapping[str, str] | None = None,
    entities: Mapping[str, str] | None = None,
    name: str = "driver",
    *,
    version: Any = 3,
    view: str = "driver_hourly_stats",
    **settings: Any,
) -> FeatureView:
    source = FeastSource(project="my_project", view=view, entity_key_version=version)
    return make_view(features, entities, name, format="feast", feast=source, **settings)


def put(
    client: Redis, view: FeatureView, entity: Sequence[object], values: Sequence[object], time_us: int = TIME_US
) -> bytes:
    """Write a row; its key."""
    if view.format == "feast":
        key = feast_key_maker(view)(entity)
        fields: Any = FeastCodec(view).encode(values, time_us)
        client.hset(key, mapping=fields)
    else:
        key = key_maker(view)(entity)
        client.set(key, RowCodec(view).encode(values, time_us))
    return key
