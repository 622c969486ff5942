"""
Features by entity, from Redis or Valkey, in microseconds: a library that knows neither gateway nor models.

    view = FeatureView(
        name="driver", entities=(Entity(name="driver_id"),), features=(Feature(name="rating", type="float64"),)
    )
    async with FeatureStore.open("redis://localhost:6379", [view]) as store:
        rows = store.peek("driver", [(1001,)])             # at once, or None when the local copy has not all of them
        if rows is None:
            rows = await store.read("driver", [(1001,)])   # one round trip for all that read in this turn of the loop
        for row in store.resolve("driver", rows):          # what the view says about missing and stale values
            print(row.values, row.statuses)

``docs/feature-cache-library.md`` says what it does when the store is slow, gone, or holds something else.
"""

from feature_cache.errors import (
    BadEntity,
    BadValue,
    CorruptValue,
    FeatureError,
    MissingFeature,
    NotHeld,
    StaleFeature,
)
from feature_cache.policy import FeatureStatus, Resolved
from feature_cache.row import ABSENT, Row, RowState
from feature_cache.schema import Entity, FeastSource, Feature, FeatureView
from feature_cache.settings import StoreSettings
from feature_cache.store import FeatureStore

__all__ = [
    "ABSENT",
    "BadEntity",
    "BadValue",
    "CorruptValue",
    "Entity",
    "FeastSource",
    "Feature",
    "FeatureError",
    "FeatureStatus",
    "FeatureStore",
    "FeatureView",
    "MissingFeature",
    "NotHeld",
    "Resolved",
    "Row",
    "RowState",
    "StaleFeature",
    "StoreSettings",
]
