from __future__ import annotations

import time
from pathlib import Path

import pytest
from redis import Redis

from feature_cache.address import Address
from feature_cache.credentials import fixed
from feature_cache.dial import Dialer
from feature_cache.errors import Unavailable
from feature_cache.row import RowState
from feature_cache.settings import CircuitSettings, StoreSettings
from feature_cache.store import FeatureStore
from tests.support.feature_views import make_view, put
from tests.support.valkey_servers import eventually, start_sentinel

VIEW = make_view(on_missing="null")


async def test_after_a_failover_rows_come_from_the_new_master(tmp_path: Path) -> None:
    async with start_sentinel(tmp_path) as found:
        with Redis(port=found.master.port) as client:
            put(client, VIEW, [1], [1.0])
            client.wait(1, 5000)
        settings = StoreSettings(
            url=f"redis+sentinel://127.0.0.1:{found.port}/main",
            timeout_ms=2_000,
            ping_ms=100,
            min_backoff_ms=5,
            max_backoff_ms=50,
            circuit=CircuitSettings(open_ms=5, max_open_ms=20),
        )
        async with FeatureStore.open(settings, [VIEW], patience=10) as store:
            before = await store.read("driver", [(1,)])

            dialer = Dialer(
                clock=time.monotonic, tls=None, credentials=fixed(None, None), db=0, timeout=5, must_be_master=True
            )
            with pytest.raises(Unavailable, match="is not the master"):
                await dialer.dial(Address("127.0.0.1", found.replica.port))

            assert before[0].values == (1.0,)
            assert store.is_local_copy_on

            with Redis(port=found.port) as sentinel:
                sentinel.execute_command("SENTINEL", "FAILOVER", "main")
            with Redis(port=found.replica.port) as replica:
                await eventually(lambda: replica.role()[0] == b"master", 20)
                put(replica, VIEW, [1], [2.0])
            # The Sentinel itself takes ten seconds until it tells the old master that it is none any more.
            await eventually(lambda: store.counters.flushes > 0, 8)
            await eventually(lambda: store.is_local_copy_on and store.is_ready, 20)
            after = await store.read("driver", [(1,)])

            assert after[0].values == (2.0,)


async def test_without_a_sentinel_the_reason_is_told(tmp_path: Path) -> None:
    settings = StoreSettings(url="redis+sentinel://127.0.0.1:1/main", timeout_ms=2_000, connect_timeout_ms=200)
    async with FeatureStore.open(settings, [VIEW], patience=0) as store:
        await eventually(lambda: "Sentinel" in store.problems()[0])
        rows = await store.read("driver", [(1,)])

        assert rows[0].state is RowState.UNAVAILABLE
