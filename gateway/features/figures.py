"""What the feature store has counted and how it does, in the words of the metrics."""

from __future__ import annotations

from feature_cache.counters import Counters
from feature_cache.store import FeatureStore
from gateway.telemetry import names
from gateway.telemetry.exposition import Exposition

__all__ = ["write_counters", "write_gauges"]


def write_counters(counted: Counters, out: Exposition) -> None:
    """What only grows."""
    rows = {
        "hit": counted.hits,
        "miss": counted.misses,
        "not_found": counted.not_found,
        "last_known": counted.last_known,
        "unavailable": counted.unavailable,
        "corrupt": counted.corrupt,
    }
    out.counter(
        names.FEATURE_ROWS,
        "Rows of features; hits and misses are of the local copy, the others are among them.",
        ("result",),
        [((result,), count) for result, count in rows.items()],
    )
    for name, doc, value in (
        (names.FEATURE_STALE, "Features that were older than their view allows.", counted.stale),
        (names.FEATURE_ROUND_TRIPS, "Times that the store was asked.", counted.round_trips),
        (names.FEATURE_TIMEOUTS, "Reads whose time ran out.", counted.timeouts),
        (names.FEATURE_INVALIDATIONS, "Rows that the store said have changed.", counted.invalidations),
        (names.FEATURE_FLUSHES, "Times that the local copy was dropped whole.", counted.flushes),
        (names.FEATURE_EVICTIONS, "Rows that left the local copy for others.", counted.evictions),
        (names.FEATURE_CIRCUIT_OPENED, "Times that a server of the store was left alone.", counted.circuit_opened),
        (names.FEATURE_CONNECTION_FAILURES, "Connections that failed.", counted.connection_failures),
    ):
        out.counter(name, doc, (), [((), value)])


def write_gauges(store: FeatureStore, out: Exposition) -> None:
    """How it is at this moment."""
    for name, doc, now in (
        (names.FEATURE_STORE_UP, "Whether the store answers.", int(store.is_ready)),
        (names.FEATURE_LOCAL_ROWS, "Rows in the local copy.", store.local_rows),
        (names.FEATURE_LOCAL_BYTES, "What they take, about.", store.local_bytes),
    ):
        out.gauge(name, doc, (), [((), now)])
