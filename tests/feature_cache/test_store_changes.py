"""The whole store, against a server that tells of a change in the very moment that the test wants."""

from __future__ import annotations

import asyncio
from pathlib import Path

from feature_cache.encoding import RowCodec
from feature_cache.keys import key_maker
from feature_cache.settings import StoreSettings
from feature_cache.store import FeatureStore
from tests.support.feature_views import TIME_US, make_view
from tests.support.scripted_store import start_scripted
from tests.support.valkey_servers import eventually

VIEW = make_view()
KEY = key_maker(VIEW)((1,))
OLD, NEW = (RowCodec(VIEW).encode([value], TIME_US) for value in (1.0, 2.0))


async def test_a_change_that_is_told_before_the_answer_comes_leaves_no_old_row(tmp_path: Path) -> None:
    async with start_scripted(tmp_path) as server:
        settings = StoreSettings(url=server.url, timeout_ms=30_000)
        async with asyncio.timeout(10), FeatureStore.open(settings, [VIEW], patience=10) as store:
            before = asyncio.create_task(store.read("driver", [(1,)]))
            await eventually(lambda: server.gets.qsize() == 1)
            server.push_changed(KEY)
            await eventually(lambda: store.counters.invalidations == 1)
            after = asyncio.create_task(store.read("driver", [(1,)]))
            await eventually(lambda: server.gets.qsize() == 2)
            await server.answer(OLD)
            await server.answer(NEW)

            assert (await before)[0].values == (1.0,)
            assert (await after)[0].values == (2.0,)
            assert (store.peek("driver", [(1,)]) or [])[0].values == (2.0,)


async def test_a_row_that_did_not_change_is_kept(tmp_path: Path) -> None:
    async with start_scripted(tmp_path) as server:
        settings = StoreSettings(url=server.url, timeout_ms=30_000)
        async with asyncio.timeout(10), FeatureStore.open(settings, [VIEW], patience=10) as store:
            reading = asyncio.create_task(store.read("driver", [(1,)]))
            await eventually(lambda: server.gets.qsize() == 1)
            server.push_changed(KEY + b"0")
            await eventually(lambda: store.counters.invalidations == 1)
            await server.answer(OLD)

            assert await reading == store.peek("driver", [(1,)])
