"""
Everything that one gateway process has to do with features: the store, what deployments take from it, its state.

A new configuration is prepared beside the one that serves, and then takes its place in one step. Where views are the
same, or none of what the store knows of them has changed, both share one store and its local copy. Otherwise a new
store is connected first, and the old one is closed when nobody reads through it any more. The new one's local copy
begins empty.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from feature_cache.counters import Counters
from feature_cache.credentials import CredentialProvider
from feature_cache.store import FeatureStore
from gateway.control.endpoints import EndpointConfig
from gateway.core.errors import ConfigError, NotReady
from gateway.features.bindings import Bindings, check_bindings
from gateway.features.config import FeatureStoreConfig, ViewFile
from gateway.features.figures import write_counters, write_gauges
from gateway.features.open_store import OpenStore
from gateway.telemetry.exposition import Exposition

__all__ = ["FeatureSet", "Features"]

_PATIENCE = 2.0
"""Seconds in which a store for changed views has to be connected."""


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """The features of one configuration. ``bindings`` is None without views; then nothing of this costs anything."""

    views: Mapping[str, ViewFile]
    bindings: Bindings | None
    opened: OpenStore | None


class Features:
    """
    ``run`` must be running. Raises ``ConfigError`` when there are views and nobody says where the store is.

    One configuration is prepared at a time: either ``install`` or ``discard`` follows, and then the next one.
    """

    def __init__(
        self, settings: FeatureStoreConfig, endpoints: Mapping[str, EndpointConfig], views: Mapping[str, ViewFile]
    ) -> None:
        self._settings = settings
        self._credentials: CredentialProvider | None = None
        self._counters = Counters()
        self._has_counted = bool(views)
        self._tasks: asyncio.TaskGroup | None = None
        check_bindings(endpoints, views)
        self._current = _set(endpoints, views, self._open(views) if views else None)

    @property
    def current(self) -> FeatureSet:
        """What serves now."""
        return self._current

    async def prepare(
        self, endpoints: Mapping[str, EndpointConfig], views: Mapping[str, ViewFile], patience: float = _PATIENCE
    ) -> FeatureSet:
        """
        The features of another configuration, ready to serve; nothing else has changed.

        Raises ``ConfigError``, and ``NotReady`` when the store does not answer in ``patience`` seconds. If it does not
        answer those who serve now either, changed views are taken all the same: they may be what helps.
        """
        check_bindings(endpoints, views)
        known = self._current.opened
        if not views or (known is not None and _stored(views) == _stored(self._current.views)):
            return _set(endpoints, views, known if views else None)
        if self._tasks is None:
            raise NotReady("the gateway is starting or shutting down")
        opened = self._open(views)
        self._tasks.create_task(opened.run(), name="feature store")
        is_lost = known is not None and not known.store.is_ready
        try:
            if not await opened.store.wait_until_ready(patience) and not is_lost:
                problems = "; ".join(opened.store.problems()) or "it does not tell of changes"
                raise NotReady(f"the feature store does not answer: {problems}")
        except BaseException:
            opened.readers.retire()
            raise
        return _set(endpoints, views, opened)

    def install(self, prepared: FeatureSet) -> None:
        """Serve by it from now on; who reads by the old one is not disturbed."""
        old, self._current = self._current, prepared
        self._has_counted = self._has_counted or prepared.opened is not None
        _retire(old, prepared)

    def discard(self, prepared: FeatureSet) -> None:
        """It is not going to serve."""
        _retire(prepared, self._current)

    async def run(self) -> None:
        """Keep the connections to the store until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._current.opened is not None:
                tasks.create_task(self._current.opened.run(), name="feature store")
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    async def wait_until_ready(self, patience: float) -> None:
        """At most ``patience`` seconds: a store that does not answer holds nobody up, the policies are for that."""
        if self._current.opened is not None:
            await self._current.opened.store.wait_until_ready(patience)

    @property
    def facts(self) -> Mapping[str, Any]:
        """For ``/readyz``; empty without views."""
        if self._current.opened is None:
            return {}
        store = self._current.opened.store
        return {"ready": store.is_ready, "local_copy": store.is_local_copy_on, "problems": store.problems()}

    def write(self, out: Exposition) -> None:
        """The store's figures. What was counted stays, also when the store is another one or there is none any more."""
        if self._has_counted:
            write_counters(self._counters, out)
        if self._current.opened is not None:
            write_gauges(self._current.opened.store, out)

    def _open(self, views: Mapping[str, ViewFile]) -> OpenStore:
        """Not yet connected."""
        settings = self._settings
        if not settings.url:
            raise ConfigError(
                "features.url",
                "expected the address of a Redis or Valkey server, here or in REDIS_URL: there are views",
            )
        try:
            if self._credentials is None:
                self._credentials = settings.credentials(os.environ)
            store = FeatureStore(settings, views.values(), credentials=self._credentials, counters=self._counters)
        except (OSError, ValueError) as error:
            raise ConfigError("features", str(error)) from error
        return OpenStore(store)


def _set(
    endpoints: Mapping[str, EndpointConfig], views: Mapping[str, ViewFile], opened: OpenStore | None
) -> FeatureSet:
    bindings = Bindings(endpoints, views, opened.store, opened.readers) if opened is not None else None
    return FeatureSet(views, bindings, opened)


def _stored(views: Mapping[str, ViewFile]) -> Mapping[str, ViewFile]:
    """What the store knows of them: neither seed nor example."""
    return {name: msgspec.structs.replace(view, seed=None, example={}) for name, view in views.items()}


def _retire(old: FeatureSet, kept: FeatureSet) -> None:
    if old.opened is not None and old.opened is not kept.opened:
        old.opened.readers.retire()
