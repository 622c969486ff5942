"""
The features of entities: what the rest of the world uses of this library to read them.

A store is opened once per process and event loop. ``peek`` answers at once from the local copy or not at all, so that
a hit costs no change of tasks; ``read`` answers always, within its time, with a row for every entity that was asked
for. Neither decides what to do about a missing or stale value: that is ``resolve``.
"""

from __future__ import annotations

import asyncio
import random as random_module
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from feature_cache.counters import Counters
from feature_cache.credentials import CredentialProvider
from feature_cache.fetch import Reading
from feature_cache.local import LocalCopy
from feature_cache.policy import Policy, Resolved
from feature_cache.reader import Reader
from feature_cache.row import Row, RowState
from feature_cache.schema import FeatureView
from feature_cache.servers import topology_of
from feature_cache.settings import StoreSettings
from feature_cache.stored_view import StoredView
from feature_cache.tracking import Tracking

__all__ = ["Entities", "FeatureStore"]

Entities: TypeAlias = Sequence[Sequence[object]]
"""One sequence of entity values for each row, in the order of the view's entities."""

Clock: TypeAlias = Callable[[], float]


class FeatureStore:
    """Made by ``open``."""

    def __init__(
        self,
        settings: StoreSettings,
        views: Iterable[FeatureView],
        *,
        credentials: CredentialProvider | None = None,
        counters: Counters | None = None,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        random: Clock = random_module.random,
    ) -> None:
        self.settings = settings
        self.counters = counters if counters is not None else Counters()
        """Those that were given: a store that takes over from another one goes on counting where that one is."""
        self._clock, self._wall_clock = clock, wall_clock
        self._views = {view.name: StoredView(view, settings.prefix) for view in views}
        self._has_nodes, self._was_told = asyncio.Event(), asyncio.Event()
        self._slots = tuple(stored.slot for stored in self._views.values() if stored.slot)
        self._policies = {name: Policy(stored.view) for name, stored in self._views.items()}
        self._topology = topology_of(settings, credentials, self.counters, clock=clock, random=random)
        local = settings.local
        self._local = LocalCopy(
            max_rows=local.max_rows,
            max_bytes=local.max_bytes,
            ttl=local.ttl_ms / 1000,
            last_known_for=local.last_known_ms / 1000,
            counters=self.counters,
        )
        self._reader = Reader(
            self._topology,
            self._local,
            self.counters,
            timeout=settings.timeout_ms / 1000,
            max_rows=settings.max_rows_in_flight,
            clock=clock,
        )
        self._tracking = Tracking(
            [stored.prefix for stored in self._views.values()],
            settings,
            on_changed=self._changed,
            on_told=self._told,
            random=random,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: StoreSettings | str,
        views: Iterable[FeatureView],
        *,
        credentials: CredentialProvider | None = None,
        patience: float = 1.0,
    ) -> AsyncIterator[FeatureStore]:
        """
        A store for the length of the block; ``settings`` may be a URL alone.

        Waits up to ``patience`` seconds for the first connection. A store that does not answer is no error: it is asked
        again and again, and until then the policies hold.
        """
        if isinstance(settings, str):
            settings = StoreSettings(url=settings)
        store = cls(settings, views, credentials=credentials)
        runner = asyncio.create_task(store.run())
        try:
            await store.wait_until_ready(patience)
            yield store
        finally:
            runner.cancel()
            with suppress(asyncio.CancelledError):
                await runner

    async def run(self) -> None:
        """Keeps connections and the local copy until cancelled. ``open`` does this."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._topology.run(self._nodes_changed))
                if self.settings.local.max_rows and self._views:
                    tasks.create_task(self._tracking.run())
        finally:
            self._reader.close()
            self._local.empty()  # whoever still holds this store holds nothing large

    async def wait_until_ready(self, patience: float) -> bool:
        """Whether every server is connected, and the local copy in use, within ``patience`` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._has_nodes.wait()
                for node in self._topology.nodes:
                    await node.connected.wait()
                if self.settings.local.max_rows and self._views:
                    await self._was_told.wait()
        except TimeoutError:
            return False
        return True

    @property
    def is_ready(self) -> bool:
        """Whether the store answers, as far as is known."""
        nodes = self._topology.nodes
        return bool(nodes) and all(node.is_up for node in nodes)

    @property
    def is_local_copy_on(self) -> bool:
        return self._local.is_on

    @property
    def local_rows(self) -> int:
        return len(self._local)

    @property
    def local_bytes(self) -> int:
        return self._local.held_bytes

    @property
    def rows_in_flight(self) -> int:
        return self._reader.rows_in_flight

    def problems(self) -> list[str]:
        """What is wrong at the moment, for a readiness page: one line a server."""
        nodes = self._topology.nodes
        if not nodes:
            return ["no server of the store is known yet"]
        return [f"{node.name}: {node.last_error or 'does not answer in time'}" for node in nodes if not node.is_up]

    def peek(self, view: str, entities: Entities) -> list[Row] | None:
        """All rows, if all are in the local copy; None if not. Raises ``BadEntity``."""
        now, get = self._clock(), self._local.get
        stored = self._views[view]
        key, slot = stored.key, stored.slot
        rows = []
        for entity in entities:
            row = get(key(entity) + slot, now)
            if row is None:
                return None
            rows.append(row)
        self.counters.hits += len(rows)
        return rows

    async def read(self, view: str, entities: Entities, deadline: float | None = None) -> list[Row]:
        """
        A row for each entity, in order; duplicates are read once.

        ``deadline`` is in monotonic seconds and can only shorten the store's own timeout. Raises ``BadEntity``, and
        nothing about the store: a row that could not be read says so itself.
        """
        stored = self._views[view]
        key = stored.key
        keys = [key(entity) for entity in entities]
        reading = Reading(asyncio.get_running_loop(), self._clock(), deadline)
        rows = self._begin(reading, stored, keys, entities)
        if reading.open:
            await self._end(reading)
        return rows

    async def read_many(self, asks: Sequence[tuple[str, Entities]], deadline: float | None = None) -> list[list[Row]]:
        """Like ``read``, for several views at once."""
        views = [self._views[name] for name, _ in asks]
        keys = [[view.key(entity) for entity in entities] for view, (_, entities) in zip(views, asks, strict=True)]
        reading = Reading(asyncio.get_running_loop(), self._clock(), deadline)
        answers = [
            self._begin(reading, view, of_view, entities)
            for view, of_view, (_, entities) in zip(views, keys, asks, strict=True)
        ]
        if reading.open:
            await self._end(reading)
        return answers

    def resolve(self, view: str, rows: Iterable[Row]) -> list[Resolved]:
        """
        What to use of these rows now, by the view's policies.

        Raises ``MissingFeature``, ``StaleFeature`` or ``CorruptValue`` for the first row that may not be used.
        """
        policy, now_us = self._policies[view], int(self._wall_clock() * 1_000_000)
        resolved = [policy.resolve(row, now_us) for row in rows]
        self.counters.stale += sum(each.stale for each in resolved)
        return resolved

    def _begin(self, reading: Reading, view: StoredView, keys: Sequence[bytes], entities: Entities) -> list[Row]:
        """Rows that are at hand, and in ``reading`` the fetches for the places of the others."""
        now, get, counters, slot = reading.now, self._local.get, self.counters, view.slot
        rows: list[Row] = []
        for key, entity in zip(keys, entities, strict=True):
            row = get(key + slot, now)
            if row is not None:
                counters.hits += 1
            else:
                counters.misses += 1
                row = _NOT_IN_TIME
                if reading.is_over:
                    row = self._without_store(key + slot, row, now)
                else:
                    fetch = self._reader.fetch(view, key, entity, reading.waiter, now)
                    reading.open.append((rows, len(rows), fetch))
            rows.append(row)
        return rows

    async def _end(self, reading: Reading) -> None:
        """Put the rows of the fetches in their places."""
        waiter, counters = reading.waiter, self.counters
        if waiter.is_expecting:
            timer = self._reader.bound(waiter, reading.now, reading.deadline)
            try:
                await waiter.done
            finally:
                if timer is not None:
                    timer.cancel()
            counters.timeouts += waiter.is_late
        for rows, place, fetch in reading.open:
            row = fetch.row or _NOT_IN_TIME
            if row.state is RowState.UNAVAILABLE:
                row = self._without_store(fetch.place, row, reading.now)
            elif row.state is RowState.NOT_FOUND:
                counters.not_found += 1
            rows[place] = row

    def _without_store(self, place: bytes, row: Row, now: float) -> Row:
        """What was known before the store was lost, else the row that says why there is none."""
        known = self._local.last_known(place, now)
        if known is None or known.state is not RowState.FOUND:
            self.counters.unavailable += 1
            return row
        self.counters.last_known += 1
        return Row(RowState.LAST_KNOWN, known.values, known.event_time_us, known.missing, row.error)

    def _nodes_changed(self) -> None:
        self._tracking.follow(self._topology.nodes)
        self._has_nodes.set()

    def _changed(self, keys: list[bytes] | None) -> None:
        if keys is None:
            self._local.drop_all()
        else:
            self.counters.invalidations += len(keys)
            if self._slots:
                keys = [key + slot for key in keys for slot in (b"", *self._slots)]
            for key in keys:
                self._local.drop(key)
        self._reader.forget(keys)

    def _told(self, is_told: bool) -> None:
        if is_told:
            self._local.resume()
            self._was_told.set()
        else:
            self._local.suspend(self._clock())


_NOT_IN_TIME = Row(RowState.UNAVAILABLE, error="it has not answered in time")
