"""Everything that one gateway process has to do with features: the store, what deployments take from it, its state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from feature_cache.store import FeatureStore
from gateway.control.endpoints import EndpointConfig
from gateway.core.errors import ConfigError
from gateway.core.signature import Signature
from gateway.features.bindings import Bindings
from gateway.features.config import FeatureStoreConfig, ViewFile
from gateway.telemetry import names
from gateway.telemetry.exposition import Exposition

__all__ = ["Features"]


class Features:
    """
    Without views there is no store, and nothing of this costs anything.

    Raises ``ConfigError`` when there are views and nobody says where the store is.
    """

    def __init__(
        self, settings: FeatureStoreConfig, endpoints: Mapping[str, EndpointConfig], views: Mapping[str, ViewFile]
    ) -> None:
        self._store = _store(settings, views) if views else None
        self.bindings = Bindings(endpoints, views, self._store) if self._store is not None else None

    def signature(self, endpoint: str, name: str, model: Signature) -> Signature | None:
        """What clients send, where that is not what the model takes. Raises ``ConfigError``."""
        return self.bindings.signature(endpoint, name, model) if self.bindings is not None else None

    async def run(self) -> None:
        """Keep the connections to the store until cancelled."""
        if self._store is not None:
            await self._store.run()

    async def wait_until_ready(self, patience: float) -> None:
        """At most ``patience`` seconds: a store that does not answer holds nobody up, the policies are for that."""
        if self._store is not None:
            await self._store.wait_until_ready(patience)

    @property
    def facts(self) -> Mapping[str, Any]:
        """For ``/readyz``; empty without views."""
        store = self._store
        if store is None:
            return {}
        return {"ready": store.is_ready, "local_copy": store.is_local_copy_on, "problems": store.problems()}

    def write(self, out: Exposition) -> None:
        """The store's figures."""
        store = self._store
        if store is None:
            return
        counted = store.counters
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
        for name, doc, now in (
            (names.FEATURE_STORE_UP, "Whether the store answers.", int(store.is_ready)),
            (names.FEATURE_LOCAL_ROWS, "Rows in the local copy.", store.local_rows),
            (names.FEATURE_LOCAL_BYTES, "What they take, about.", store.local_bytes),
        ):
            out.gauge(name, doc, (), [((), now)])


def _store(settings: FeatureStoreConfig, views: Mapping[str, ViewFile]) -> FeatureStore:
    """Not yet connected."""
    if not settings.url:
        raise ConfigError(
            "features.url", "expected the address of a Redis or Valkey server, here or in REDIS_URL: there are views"
        )
    try:
        return FeatureStore(settings, views.values(), credentials=settings.credentials(os.environ))
    except (OSError, ValueError) as error:
        raise ConfigError("features", str(error)) from error
