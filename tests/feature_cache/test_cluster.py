from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.crc import key_slot

from feature_cache.address import Address, StoreAddress
from feature_cache.cluster import Cluster, read_slots, slot_of
from feature_cache.credentials import fixed
from feature_cache.dial import Dialer
from feature_cache.errors import Unavailable
from feature_cache.keys import key_maker
from feature_cache.resp import ReplyError
from feature_cache.row import RowState
from feature_cache.settings import CircuitSettings, StoreSettings
from feature_cache.store import FeatureStore
from tests.support.feature_views import make_view, put
from tests.support.unhurried import unhurried
from tests.support.valkey_servers import Server, eventually, start_cluster

VIEW = make_view(on_missing="null")
KEY = key_maker(VIEW)


@unhurried
@given(st.binary() | st.sampled_from([b"{a}b", b"a{b}c", b"{}a", b"a{b", b"{{a}}", b"a{}{b}"]))
def test_a_slot_is_what_redis_py_says(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


@pytest.mark.parametrize("reply", [None, 5, [[1]], [[1, 2, 3]], [[1, 2, []]], {"a": 1}, [[0, 1, ["text", 1]]]])
def test_what_is_no_map_of_slots_is_told(reply: object) -> None:
    with pytest.raises(Unavailable, match="CLUSTER SLOTS"):
        read_slots(reply, Address("a", 1))


def test_a_node_without_host_is_where_we_asked() -> None:
    assert read_slots([[0, 9, [b"", 7, b"id"]]], Address("a", 1)) == [(0, 9, Address("a", 7))]


@pytest.mark.parametrize("text", ["MOVED", "MOVED 1", "MOVED 1 a", "MOVED 1 a:b", "ASK 1 10.0.0.1:7000"])
def test_a_redirect_to_nowhere_leads_nowhere(text: str) -> None:
    dialer = Dialer(clock=time.monotonic, tls=None, credentials=fixed(None, None), db=0, timeout=1)
    address = StoreAddress(kind="cluster", servers=(Address("a", 1),))
    cluster = Cluster(address, lambda: pytest.fail("no node is made"), dialer)

    assert cluster.redirected(ReplyError(text)) is None


@asynccontextmanager
async def opened(servers: list[Server]) -> AsyncIterator[FeatureStore]:
    settings = StoreSettings(
        url=f"redis+cluster://127.0.0.1:{servers[0].port}",
        timeout_ms=2_000,
        ping_ms=200,
        min_backoff_ms=5,
        max_backoff_ms=20,
        circuit=CircuitSettings(failures=1000),
    )
    async with FeatureStore.open(settings, [VIEW], patience=10) as store:
        yield store


def fill(servers: list[Server], count: int) -> None:
    """Each row on the node that has its slot."""
    for n in range(count):
        slot = slot_of(KEY((n,)))
        place = next(p for p in range(3) if slot < (p + 1) * 16384 // 3)
        with Redis(port=servers[place].port) as client:
            put(client, VIEW, [n], [float(n)])


async def test_rows_of_a_cluster(tmp_path: Path) -> None:
    """One story, because a cluster takes seconds to come up."""
    async with start_cluster(tmp_path) as servers:
        fill(servers, 60)
        async with opened(servers) as store:
            rows = await store.read("driver", [(n,) for n in range(60)])

            assert [row.values for row in rows] == [(float(n),) for n in range(60)]
            assert store.counters.round_trips == 3
            assert store.is_local_copy_on

            # An invalidation from whichever node.
            for n in (0, 1, 2, 3):
                slot = slot_of(KEY((n,)))
                place = next(p for p in range(3) if slot < (p + 1) * 16384 // 3)
                with Redis(port=servers[place].port) as client:
                    put(client, VIEW, [n], [n + 100.0])
            await eventually(lambda: all(store.peek("driver", [(n,)]) is None for n in range(4)))
            rows = await store.read("driver", [(n,) for n in range(4)])

            assert [row.values for row in rows] == [(n + 100.0,) for n in range(4)]

            # A slot moves while we read: the old node says ASK for what it no longer has, and MOVED in the end.
            slot = slot_of(KEY((7,)))
            source = next(p for p in range(3) if slot < (p + 1) * 16384 // 3)
            target = (source + 1) % 3
            with Redis(port=servers[source].port) as old, Redis(port=servers[target].port) as new:
                ids = [_id(old), _id(new)]
                new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
                old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
                old.execute_command("MIGRATE", "127.0.0.1", servers[target].port, KEY((7,)), 0, 5000)
                await eventually(lambda: store.peek("driver", [(7,)]) is None)
                asked = (await store.read("driver", [(7,)]))[0]
                redirects = store.counters.redirects
                for client in (new, old):
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
                await eventually(lambda: store.is_local_copy_on)
            moved = (await store.read("driver", [(7,)]))[0]

            assert asked.values == moved.values == (7.0,)
            assert redirects == 1

            # A node that is gone takes its rows with it, and no others.
            lost = next(n for n in range(60) if slot_of(KEY((n,))) >= 16384 * 2 // 3)
            kept = next(n for n in range(60) if slot_of(KEY((n,))) < 16384 // 3)
            servers[2].store.kill()
            await eventually(lambda: not store.is_ready)
            rows = await store.read("driver", [(lost,), (kept,)])

            assert rows[0].state in (RowState.UNAVAILABLE, RowState.LAST_KNOWN)
            assert rows[1].values == (float(kept + 100 if kept < 4 else kept),)


def _id(client: Any) -> str:
    found = client.execute_command("CLUSTER", "MYID")
    return found.decode() if isinstance(found, bytes) else str(found)
