"""Reads from a real server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from feature_cache.embedded import EmbeddedStore
from feature_cache.encoding import RowCodec
from feature_cache.errors import BadEntity, CorruptValue, MissingFeature, StaleFeature
from feature_cache.keys import key_maker
from feature_cache.row import Row, RowState
from feature_cache.schema import FeatureView
from feature_cache.settings import LocalSettings, StoreSettings
from feature_cache.store import FeatureStore
from tests.support.feature_views import TIME_US, feast_view, make_view, put

VIEW = make_view()
FOUND, NOT_FOUND = RowState.FOUND, RowState.NOT_FOUND
NO_COPY = LocalSettings(max_rows=0)


@asynccontextmanager
async def opened(server: EmbeddedStore, *views: FeatureView, **settings: Any) -> AsyncIterator[FeatureStore]:
    """A generous timeout: the machine may be busy, and no test here is about it."""
    whole = StoreSettings(**{"url": server.url, "timeout_ms": 2_000.0, **settings})
    async with FeatureStore.open(whole, views or (VIEW,), patience=10) as store:
        yield store


def states(rows: list[Row]) -> list[RowState]:
    return [row.state for row in rows]


async def test_rows_come_in_the_order_in_which_they_were_asked_for(server: EmbeddedStore, client: Redis) -> None:
    for n in range(3):
        put(client, VIEW, [n], [float(n)])
    async with opened(server) as store:
        rows = await store.read("driver", [(2,), (0,), (9,), (1,)])

    assert [row.values for row in rows] == [(2.0,), (0.0,), (), (1.0,)]
    assert states(rows) == [FOUND, FOUND, NOT_FOUND, FOUND]
    assert rows[0].event_time_us == TIME_US


async def test_a_thousand_rows_of_which_some_are_not_there_take_one_round_trip(
    server: EmbeddedStore, client: Redis
) -> None:
    there = [n for n in range(1000) if n % 10 >= 3]
    for n in there:
        put(client, VIEW, [n], [float(n)])
    async with opened(server, local=NO_COPY) as store:
        rows = await store.read("driver", [(n,) for n in range(1000)])

        assert [n for n, row in enumerate(rows) if row.state is FOUND and row.values == (float(n),)] == there
        assert store.counters.round_trips == 1
        assert store.counters.not_found == 300


async def test_all_who_ask_in_one_turn_share_a_round_trip(server: EmbeddedStore, client: Redis) -> None:
    for n in range(32):
        put(client, VIEW, [n], [float(n)])
    async with opened(server, local=NO_COPY) as store:
        answers = await asyncio.gather(*(store.read("driver", [(n,)]) for n in range(32)))

        assert [rows[0].values for rows in answers] == [(float(n),) for n in range(32)]
        assert store.counters.round_trips == 1


async def test_duplicates_are_read_once(server: EmbeddedStore, client: Redis) -> None:
    put(client, VIEW, [1], [0.5])
    async with opened(server, local=NO_COPY) as store:
        first, second = await asyncio.gather(store.read("driver", [(1,), (1,)]), store.read("driver", [(1,)]))

        assert first[0] is first[1] is second[0]
        assert store.counters.fetched == 1


async def test_several_views_of_both_formats_share_a_round_trip(server: EmbeddedStore, client: Redis) -> None:
    feast = feast_view(name="feast")
    put(client, VIEW, [1], [0.5])
    put(client, feast, [1], [0.25])
    async with opened(server, VIEW, feast, local=NO_COPY) as store:
        ours, feasts = await store.read_many([("driver", [(1,), (2,)]), ("feast", [(1,), (2,)])])

        assert [row.values for row in ours + feasts] == [(0.5,), (), (0.25,), ()]
        assert store.counters.round_trips == 1


async def test_two_feast_views_of_one_entity_are_told_apart_in_the_local_copy(
    server: EmbeddedStore, client: Redis
) -> None:
    one, two = feast_view(name="one", view="one"), feast_view({"name": "string"}, name="two", view="two")
    put(client, one, [1], [0.5])
    put(client, two, [1], ["Zoë"])
    async with opened(server, one, two) as store:
        await store.read_many([("one", [(1,)]), ("two", [(1,)])])
        peeked = store.peek("one", [(1,)]), store.peek("two", [(1,)])

        assert [rows[0].values for rows in peeked if rows] == [(0.5,), ("Zoë",)]

        put(client, one, [1], [0.75])
        await forgotten(store, "one")

        assert store.peek("two", [(1,)]) is None


async def test_a_row_once_read_is_at_hand(server: EmbeddedStore, client: Redis) -> None:
    put(client, VIEW, [1], [0.5])
    async with opened(server) as store:
        before = store.peek("driver", [(1,)])
        rows = await store.read("driver", [(1,), (2,)])

        assert before is None
        assert store.peek("driver", [(1,), (2,)]) == rows
        assert store.peek("driver", [(1,), (3,)]) is None
        assert (store.counters.hits, store.counters.misses) == (2, 2)


async def forgotten(store: FeatureStore, view: str = "driver", entity: object = 1) -> None:
    """Until the invalidation has arrived: no time, but turns of the loop."""
    async with asyncio.timeout(5):
        while store.peek(view, [(entity,)]) is not None:  # noqa: ASYNC110 — nothing tells when it has
            await asyncio.sleep(0)


@pytest.mark.parametrize("view", [VIEW, feast_view()], ids=["compact", "feast"])
async def test_a_write_is_seen_by_the_second_read_after_it_at_the_latest(
    server: EmbeddedStore, client: Redis, view: FeatureView
) -> None:
    put(client, view, [1], [0.5])
    async with opened(server, view) as store:
        seen = []
        for value in range(20):
            await store.read("driver", [(1,)])
            put(client, view, [1], [float(value)])
            await store.read("driver", [(1,)])
            # Turns in which a waiting invalidation is taken in, as any other read would be.
            await store.read("driver", [(1000 + value,)])
            seen.append((await store.read("driver", [(1,)]))[0].values)

        assert seen == [(float(value),) for value in range(20)]
        assert store.counters.invalidations >= 20


async def test_a_row_that_was_not_there_is_seen_when_it_is(server: EmbeddedStore, client: Redis) -> None:
    async with opened(server) as store:
        await store.read("driver", [(1,)])

        assert states(store.peek("driver", [(1,)]) or []) == [NOT_FOUND]

        put(client, VIEW, [1], [0.5])
        await forgotten(store)

        assert states(await store.read("driver", [(1,)])) == [FOUND]


async def test_emptying_the_store_empties_the_copy(server: EmbeddedStore, client: Redis) -> None:
    put(client, VIEW, [1], [0.5])
    async with opened(server) as store:
        await store.read("driver", [(1,)])
        client.flushall()
        await forgotten(store)

        assert states(await store.read("driver", [(1,)])) == [NOT_FOUND]


async def test_a_key_that_expires_is_forgotten(server: EmbeddedStore, client: Redis) -> None:
    key = put(client, VIEW, [1], [0.5])
    async with opened(server) as store:
        await store.read("driver", [(1,)])
        client.pexpireat(key, 1)
        await forgotten(store)

        assert states(await store.read("driver", [(1,)])) == [NOT_FOUND]


@pytest.mark.parametrize("raw", [b"", b"{}", b"\x01" + b"\0" * 30, b"\xff" * 22])
async def test_what_is_no_row_is_refused_by_name_and_never_kept(
    server: EmbeddedStore, client: Redis, raw: bytes
) -> None:
    client.set(key_maker(VIEW)((17,)), raw)
    put(client, VIEW, [1], [0.5])
    async with opened(server) as store:
        bad, good = await store.read("driver", [(17,), (1,)])

        assert (bad.state, good.state) == (RowState.CORRUPT, FOUND)
        assert 'view "driver"' in bad.error
        assert "id=17" in bad.error
        assert store.peek("driver", [(17,)]) is None
        assert store.counters.corrupt == 1
        with pytest.raises(CorruptValue, match=r'view "driver".*id=17'):
            store.resolve("driver", [good, bad])


async def test_a_key_of_another_type_is_a_corrupt_row(server: EmbeddedStore, client: Redis) -> None:
    feast = feast_view(name="feast")
    client.rpush(key_maker(VIEW)((1,)), b"a")
    key = put(client, feast, [1], [0.5])
    client.delete(key)
    client.set(key, b"a")
    async with opened(server, VIEW, feast) as store:
        ours, feasts = await store.read_many([("driver", [(1,)]), ("feast", [(1,)])])

    assert [rows[0].state for rows in (ours, feasts)] == [RowState.CORRUPT] * 2
    assert "another type" in ours[0].error


async def test_a_corrupt_feast_value_is_refused_by_feature(server: EmbeddedStore, client: Redis) -> None:
    view = feast_view({"rating": "float64", "trips": "int64"})
    key = put(client, view, [1], [0.5, 7])
    (field,) = [name for name, raw in client.hgetall(key).items() if raw == b"\x20\x07"]
    client.hset(key, field, b"\x20")
    async with opened(server, view) as store:
        (row,) = await store.read("driver", [(1,)])

    assert row.error == 'view "driver", feature "trips": not a int64 (id=1)'


async def test_an_entity_that_does_not_fit_asks_nothing(server: EmbeddedStore, client: Redis) -> None:
    async with opened(server) as store:
        with pytest.raises(BadEntity):
            await store.read("driver", [(1,), ("2",)])

        assert store.counters.fetched == 0
        assert store.rows_in_flight == 0


async def test_a_deadline_that_has_passed_asks_nothing(server: EmbeddedStore, client: Redis) -> None:
    put(client, VIEW, [1], [0.5])
    put(client, VIEW, [2], [0.5])
    async with opened(server) as store:
        await store.read("driver", [(1,)])
        rows = await store.read("driver", [(1,), (2,)], deadline=time.monotonic() - 1)

        assert states(rows) == [FOUND, RowState.UNAVAILABLE]
        assert store.counters.fetched == 1


async def test_more_rows_than_may_be_in_flight_are_refused_at_once(server: EmbeddedStore, client: Redis) -> None:
    put(client, VIEW, [1], [0.5])
    async with opened(server, local=NO_COPY, max_rows_in_flight=1) as store:
        rows = await store.read("driver", [(1,), (2,)])
        again = await store.read("driver", [(1,)])

        assert states(rows) == [FOUND, RowState.UNAVAILABLE]
        assert rows[1].error == "too many rows are being read"
        assert states(again) == [FOUND]


async def test_a_caller_who_leaves_does_not_touch_those_who_wait_with_it(server: EmbeddedStore, client: Redis) -> None:
    put(client, VIEW, [1], [0.5])
    async with opened(server, local=NO_COPY) as store, asyncio.TaskGroup() as tasks:
        leaves = tasks.create_task(store.read("driver", [(1,)]))
        stays = tasks.create_task(store.read("driver", [(1,)]))
        await asyncio.sleep(0)
        leaves.cancel()

        assert states(await stays) == [FOUND]


async def test_a_store_without_local_copy_keeps_no_tracking_connection(server: EmbeddedStore, client: Redis) -> None:
    async with opened(server, local=NO_COPY, connections=1) as store:
        await store.read("driver", [(1,)])

        assert not store.is_local_copy_on
        assert [each["tot-cmds"] for each in client.client_list() if "T" in each["flags"]] == []
        assert len([each for each in client.client_list() if each["name"] == "lockgate"]) == 1


async def test_resolving_counts_what_was_stale(server: EmbeddedStore, client: Redis) -> None:
    view = make_view(freshness=1, on_stale="stale_ok", on_missing="null")
    put(client, view, [1], [0.5])
    async with opened(server, view) as store:
        resolved = store.resolve("driver", await store.read("driver", [(1,), (2,)]))

        assert [each.values for each in resolved] == [(0.5,), (None,)]
        assert store.counters.stale == 1


async def test_the_policy_fail_fails(server: EmbeddedStore, client: Redis) -> None:
    view = make_view(freshness=1)
    put(client, view, [1], [0.5])
    async with opened(server, view) as store:
        with pytest.raises(StaleFeature):
            store.resolve("driver", await store.read("driver", [(1,)]))
        with pytest.raises(MissingFeature):
            store.resolve("driver", await store.read("driver", [(2,)]))


async def test_after_a_storm_of_writes_the_copy_holds_what_the_store_holds(
    server: EmbeddedStore, client: Redis
) -> None:
    """Reads, writes and changes cross in every way; what is left in the copy at the end must be the last of each."""
    key, codec, chance = key_maker(VIEW), RowCodec(VIEW), random.Random(7)
    writing: Any = AsyncRedis(unix_socket_path=str(server.socket))
    async with opened(server) as store:

        async def write() -> None:
            for version in range(300):
                await writing.set(key((chance.randrange(10),)), codec.encode([float(version)], TIME_US))

        async def read(writer: asyncio.Task[None]) -> None:
            while not writer.done():
                await store.read("driver", [(chance.randrange(10),), (chance.randrange(10),)])
                await asyncio.sleep(0)  # a hit lets nobody else run

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(write())
            for _ in range(8):
                tasks.create_task(read(writer))
        # The last write's message is on its way before this one's: when this row is forgotten, all was told.
        put(client, VIEW, [99], [0.0])
        await store.read("driver", [(99,)])
        put(client, VIEW, [99], [1.0])
        await forgotten(store, entity=99)
        rows = await store.read("driver", [(n,) for n in range(10)])
        held = [client.get(key((n,))) for n in range(10)]
    await writing.aclose()

    assert store.counters.hits > 0
    assert [row.values for row in rows] == [codec.decode(raw).values for raw in held if isinstance(raw, bytes)]
