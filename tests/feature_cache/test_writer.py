"""Rows written to a real store, and what the codecs of the reader make of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from feature_cache.encoding import RowCodec
from feature_cache.errors import BadEntity, BadValue, StoreRefused, Unavailable
from feature_cache.feast import FeastCodec, feast_key_maker
from feature_cache.keys import key_maker
from feature_cache.row import Row
from feature_cache.schema import Entity, FeastSource, Feature, FeatureView
from feature_cache.writer import NewRow, Writer, Written
from tests.support.valkey import Valkey, private_valkey

_FEATURES = (
    Feature(name="carat", type="float64"),
    Feature(name="cut", type="string"),
    Feature(name="sold", type="int64"),
)
COMPACT = FeatureView(name="diamonds", entities=(Entity(name="diamond_id"),), features=_FEATURES)
FEAST = FeatureView(
    name="diamonds",
    entities=(Entity(name="diamond_id"),),
    features=_FEATURES,
    format="feast",
    feast=FeastSource(project="shop", view="diamonds"),
)
VIEWS = pytest.mark.parametrize("view", [COMPACT, FEAST], ids=["compact", "feast"])

TIME = 1_700_000_000_123_456


@pytest.fixture
async def client(valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as client:
        yield client


def row(entity: int, carat: float, event_time: int | datetime = TIME) -> NewRow:
    return NewRow([entity], {"carat": carat, "cut": "Ideal", "sold": 2**60 + 1}, event_time)


def stored(valkey: Valkey, view: FeatureView, entity: int) -> Row | None:
    """As the reader would see it."""
    with valkey.client() as client:
        if view.format == "feast":
            codec = FeastCodec(view)
            return codec.decode(client.hmget(feast_key_maker(view)([entity]), list(codec.fields)))
        raw = client.get(key_maker(view)([entity]))
        return None if raw is None else RowCodec(view).decode(raw)


def carat(valkey: Valkey, view: FeatureView, entity: int = 1) -> object:
    found = stored(valkey, view, entity)
    return None if found is None or not found.values else found.values[0]


@VIEWS
async def test_what_is_written_is_read_again(valkey: Valkey, client: Redis, view: FeatureView) -> None:
    await Writer(client, view).write([row(1, 0.5)])
    found = stored(valkey, view, 1)

    assert found is not None
    assert found.values == (0.5, "Ideal", 2**60 + 1)
    assert found.event_time_us == TIME


@VIEWS
@pytest.mark.parametrize("later", [1, 1_000, 1_000_000, 5_000_000_000])
async def test_a_newer_row_takes_the_place_of_an_older_one(
    valkey: Valkey, client: Redis, view: FeatureView, later: int
) -> None:
    writer = Writer(client, view)
    await writer.write([row(1, 0.5)])
    result = await writer.write([row(1, 0.7, TIME + later)])

    assert result == Written(written=1, skipped=0)
    assert carat(valkey, view) == 0.7


@VIEWS
@pytest.mark.parametrize("earlier", [0, 1, 1_000, 1_000_000, 5_000_000_000, TIME, 2 * TIME])
async def test_a_row_that_is_not_newer_is_skipped(
    valkey: Valkey, client: Redis, view: FeatureView, earlier: int
) -> None:
    writer = Writer(client, view)
    await writer.write([row(1, 0.5)])
    result = await writer.write([row(1, 0.7, TIME - earlier)])

    assert result == Written(written=0, skipped=1)
    assert carat(valkey, view) == 0.5


@VIEWS
async def test_of_two_rows_of_one_entity_in_a_batch_the_newer_one_stays(
    valkey: Valkey, client: Redis, view: FeatureView
) -> None:
    result = await Writer(client, view).write([row(1, 0.1), row(1, 0.9, TIME + 5), row(1, 0.2, TIME + 1)])

    assert result == Written(written=2, skipped=1)
    assert carat(valkey, view) == 0.9


@VIEWS
async def test_a_time_before_1970_is_older_than_one_after_it(valkey: Valkey, client: Redis, view: FeatureView) -> None:
    writer = Writer(client, view)
    await writer.write([row(1, 0.1, -5)])
    await writer.write([row(1, 0.5, 5)])
    await writer.write([row(1, 0.9, -1)])

    assert carat(valkey, view) == 0.5


@VIEWS
async def test_overwriting_does_not_look_at_times(valkey: Valkey, client: Redis, view: FeatureView) -> None:
    await Writer(client, view).write([row(1, 0.5)])
    result = await Writer(client, view, overwrite=True).write([row(1, 0.7, TIME - 1)])

    assert result.written == 1
    assert carat(valkey, view) == 0.7


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(times=st.lists(st.integers(-(2**53), 2**53), min_size=2, max_size=6))
@pytest.mark.parametrize("view", [COMPACT, FEAST], ids=["compact", "feast"])
def test_in_whatever_order_rows_come_the_newest_stays(valkey: Valkey, view: FeatureView, times: list[int]) -> None:
    if view is FEAST:
        times = [abs(time) for time in times]

    async def write() -> None:
        async with Redis.from_url(valkey.url) as client:
            await client.flushall()
            writer = Writer(client, view)
            for time in times:
                await writer.write([row(1, float(time), time)])

    asyncio.run(write())

    assert carat(valkey, view) == float(max(times))


@VIEWS
async def test_many_rows_take_few_round_trips(valkey: Valkey, client: Redis, view: FeatureView) -> None:
    await client.ping()
    with valkey.client() as other:
        before = other.info("commandstats").get("cmdstat_eval", {}).get("calls", 0)
        await Writer(client, view).write(row(i, float(i)) for i in range(1000))
        calls = other.info("commandstats")["cmdstat_eval"]["calls"] - before

    assert calls == 4
    assert carat(valkey, view, 999) == 999.0


@VIEWS
async def test_the_store_forgets_rows_after_the_views_ttl(valkey: Valkey, client: Redis, view: FeatureView) -> None:
    short_lived = FeatureView(**{name: getattr(view, name) for name in view.__struct_fields__} | {"ttl": "1h"})
    await Writer(client, short_lived).write([row(1, 0.5)])
    with valkey.client() as other:
        (key,) = other.keys("*")
        left = other.pttl(key)

    assert 3_590_000 < left <= 3_600_000


@VIEWS
async def test_without_a_ttl_rows_stay(valkey: Valkey, client: Redis, view: FeatureView) -> None:
    await Writer(client, view).write([row(1, 0.5)])
    with valkey.client() as other:
        (key,) = other.keys("*")

        assert other.pttl(key) == -1


async def test_a_row_of_another_layout_is_replaced(valkey: Valkey, client: Redis) -> None:
    await client.set(key_maker(COMPACT)([1]), b"something else altogether")
    await Writer(client, COMPACT).write([row(1, 0.5)])

    assert carat(valkey, COMPACT) == 0.5


async def test_other_views_of_feast_in_the_same_hash_are_left_alone(valkey: Valkey, client: Redis) -> None:
    key = feast_key_maker(FEAST)([1])
    await client.hset(key, mapping={b"_ts:other": b"\x08\x01", b"abcd": b"\x08\x07"})
    await Writer(client, FEAST).write([row(1, 0.5)])

    assert await client.hget(key, "abcd") == b"\x08\x07"
    assert await client.hget(key, "_ts:other") == b"\x08\x01"


async def test_a_feature_that_is_not_named_stays_as_it_was_in_feast_and_is_missing_in_our_layout(
    valkey: Valkey, client: Redis
) -> None:
    for view, expected in ((COMPACT, None), (FEAST, "Ideal")):
        writer = Writer(client, view)
        await writer.write([row(1, 0.5)])
        await writer.write([NewRow([1], {"carat": 0.7}, TIME + 1)])
        found = stored(valkey, view, 1)

        assert found is not None
        assert found.values[1] == expected


@pytest.mark.parametrize(
    ("bad", "error", "told"),
    [
        (NewRow([1], {"carat": "big"}, TIME), BadValue, 'view "diamonds", feature "carat": expected a number, got str'),
        (NewRow([1], {"karat": 1.0}, TIME), BadValue, "no feature named 'karat'"),
        (NewRow(["x"], {}, TIME), BadEntity, 'entity "diamond_id": expected a whole number'),
        (NewRow([1], {}, datetime(2024, 1, 1)), BadValue, "event time: expected a time with a time zone"),  # noqa: DTZ001
    ],
)
async def test_a_bad_row_is_refused_by_name_before_anything_of_its_batch_is_sent(
    valkey: Valkey, client: Redis, bad: NewRow, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        await Writer(client, COMPACT).write([row(1, 0.5), bad])

    assert await client.dbsize() == 0


async def test_event_times_may_be_datetimes(valkey: Valkey, client: Redis) -> None:
    moment = datetime(2024, 2, 29, 12, 30, 0, 5, tzinfo=UTC)
    await Writer(client, COMPACT).write([row(1, 0.5, moment)])
    found = stored(valkey, COMPACT, 1)

    assert found is not None
    assert found.event_time_us == int(moment.timestamp()) * 1_000_000 + 5


async def test_a_key_of_another_type_is_the_stores_refusal(client: Redis) -> None:
    await client.lpush(key_maker(COMPACT)([1]), "x")

    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        await Writer(client, COMPACT).write([row(1, 0.5)])


async def test_a_store_that_does_not_answer_is_not_waited_for() -> None:
    with private_valkey() as server:
        async with asyncio.timeout(30), Redis.from_url(server.url) as client:
            await client.ping()
            with server.paused(), pytest.raises(Unavailable, match=r"within 0\.05 s"):
                await Writer(client, COMPACT, timeout=0.05).write([row(1, 0.5)])


async def test_a_store_that_is_gone_is_unavailable() -> None:
    with private_valkey() as server:
        url = server.url
        server.kill()
        async with Redis.from_url(url) as client:
            with pytest.raises(Unavailable, match="cannot be reached"):
                await Writer(client, COMPACT).write([row(1, 0.5)])


class FakeCluster:
    """Says where keys belong as a cluster does, and refuses calls with keys of several slots, on a real server."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.calls = 0

    def keyslot(self, key: bytes) -> int:
        return redis.crc.key_slot(key)

    async def eval(self, script: str, numkeys: int, *words: Any) -> Any:
        self.calls += 1
        assert len({self.keyslot(key) for key in words[:numkeys]}) == 1
        return await self._client.eval(script, numkeys, *words)


async def test_to_a_cluster_each_call_goes_with_keys_of_one_slot(valkey: Valkey, client: Redis) -> None:
    cluster = FakeCluster(client)
    result = await Writer(cluster, COMPACT).write(row(i, float(i)) for i in range(300))

    assert result.written == 300
    assert cluster.calls > 250
    assert carat(valkey, COMPACT, 299) == 299.0
