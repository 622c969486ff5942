"""
A request with keys gives the very rows of the full request, in every form; and what happens when it cannot.

The store is a real one, and rows are compared byte for byte.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from feature_cache.keys import key_maker
from feature_cache.writer import NewRow
from gateway.core.errors import BadFeatures, FeaturesUnavailable, InvalidInput
from gateway.core.payload import Named, Payload, Records, Table, Tensor, Tensors
from gateway.core.rows import Rows
from gateway.core.signature import Kind, Signature
from tests.support.features import World, column, view, world
from tests.support.valkey import Valkey, private_valkey

MODEL = Signature(
    inputs=(
        column("size", Kind.INTEGER, "INT64"),
        column("carat"),
        column("cut", Kind.CATEGORICAL, "BYTES", levels=("Fair", "Good", "Ideal")),
        column("rate", datatype="FP32"),
    ),
    outputs=(),
)
VIEWS = (
    view("diamonds", {"diamond_id": "int64"}, {"depth": "float64", "cut": "string", "carat": "float64"}),
    view("shops", {"country": "string", "shop": "string"}, {"rate": "float64"}),
)
FEATURES = {"carat": "diamonds:carat", "cut": "diamonds:cut", "rate": "shops:rate"}
NAMES = ["size", "diamond_id", "country", "shop"]
NOW = 1_700_000_000_000_000

KEYED = [[11, 1, "NL", "a"], [12, 2, "NL", "b"], [13, 1, "NL", "a"], [14, 3, "", "ü"], [15, 2**60 + 1, "NL", "b"]]
FULL = [
    [11, 0.1, "Ideal", 1.5],
    [12, 0.2, "Fair", 2.5],
    [13, 0.1, "Ideal", 1.5],
    [14, 0.3, "Good", 3.5],
    [15, 0.4, "Good", 2.5],
]


def forever() -> float:
    return time.monotonic() + 60


@pytest.fixture
async def shop(valkey: Valkey) -> AsyncIterator[World]:
    async with asyncio.timeout(60), world(valkey.url, MODEL, FEATURES, VIEWS) as one:
        await fill(one)
        yield one


async def fill(one: World) -> None:
    diamonds = {1: (0.1, "Ideal"), 2: (0.2, "Fair"), 3: (0.3, "Good"), 2**60 + 1: (0.4, "Good")}
    shops = {("NL", "a"): 1.5, ("NL", "b"): 2.5, ("", "ü"): 3.5}
    await one.write(
        "diamonds", [NewRow([i], {"depth": 9.0, "cut": c, "carat": w}, NOW) for i, (w, c) in diamonds.items()]
    )
    await one.write("shops", [NewRow(key, {"rate": rate}, NOW) for key, rate in shops.items()])


def bytes_tensor(values: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)


def forms(rows: list[list[Any]]) -> dict[str, Payload]:
    """Rows with keys in every form that can say them."""
    records = [dict(zip(NAMES, row, strict=True)) for row in rows]
    back = NAMES[::-1]
    series = {name: [record[name] for record in records] for name in NAMES}
    n = len(rows)
    raw = [
        Tensor("shop", "BYTES", (n, 1), raw=bytes_tensor(series["shop"])),
        Tensor("diamond_id", "INT64", (n,), raw=np.array(series["diamond_id"], "<i8").tobytes()),
        Tensor("country", "BYTES", (n,), raw=bytes_tensor(series["country"])),
        Tensor("size", "INT64", (n,), raw=np.array(series["size"], "<i8").tobytes()),
    ]
    typed = [
        Tensor(name, "INT64" if name in ("size", "diamond_id") else "BYTES", (n, 1), values=series[name])
        for name in NAMES
    ]
    return {
        "records": Records(records),
        "records with more": Records([{"other": None, **record} for record in records]),
        "table": Table(back, [[record[name] for name in back] for record in records]),
        "positions": Table(None, rows),
        "named": Named(series),
        "named with more": Named({"other": [], **series}),
        "csv": Table(NAMES, [[str(value) for value in row] for row in rows], is_text=True),
        "raw tensors": Tensors(raw),
        "typed tensors": Tensors(typed),
    }


def full(rows: list[list[Any]]) -> Payload:
    return Table([each.name for each in MODEL.inputs], rows)


def same(got: Rows, wanted: Rows) -> bool:
    return (got.layout, got.count, got.records, got.texts) == (
        wanted.layout,
        wanted.count,
        wanted.records,
        wanted.texts,
    )


@pytest.mark.parametrize("form", list(forms(KEYED)))
@pytest.mark.parametrize("count", [1, 2, 5])
async def test_every_form_with_keys_gives_the_rows_of_the_full_request(shop: World, form: str, count: int) -> None:
    got = await shop.completer(forms(KEYED[:count])[form], forever())

    assert same(got, shop.assembler(full(FULL[:count])))


@pytest.mark.parametrize("form", list(forms(KEYED)))
async def test_what_is_in_the_local_copy_gives_the_same_again(shop: World, form: str) -> None:
    for start in range(4, -1, -1):
        payload = forms(KEYED[start : start + 1])[form]
        await shop.completer(payload, forever())
        hits = shop.store.counters.hits
        got = await shop.completer(payload, forever())

        assert same(got, shop.assembler(full(FULL[start : start + 1])))
        assert shop.store.counters.hits == hits + 2


ONE_VIEW = {"carat": "diamonds:carat", "cut": "diamonds:cut"}


def keyed(diamond: object, **more: object) -> dict[str, Payload]:
    """One row with the key of one view, in the forms that are looked at quickly."""
    row: dict[str, Any] = {"size": 11, "rate": 1.5, "diamond_id": diamond, **more}
    types = {"size": "INT64", "rate": "FP32", "diamond_id": "INT64"}
    tensors = [Tensor(name, types.get(name, "FP64"), (1,), values=[value]) for name, value in row.items()]
    return {
        "records": Records([row]),
        "table": Table(list(row), [list(row.values())]),
        "tensors": Tensors(tensors),
    }


@pytest.mark.parametrize("form", ["records", "table", "tensors"])
async def test_what_most_requests_are_is_answered_without_a_task(valkey: Valkey, form: str) -> None:
    async with world(valkey.url, MODEL, ONE_VIEW, VIEWS) as one:
        await fill(one)
        before = one.completer.at_once(keyed(1)[form])
        await one.completer(keyed(1)[form], forever())
        missed = one.completer.at_once(keyed(2)[form])
        got = one.completer.at_once(keyed(1)[form])
        sent = {"carat": 7.5}
        await one.completer(keyed(1, **sent)[form], forever())
        with_sent = one.completer.at_once(keyed(1, **sent)[form])

        assert (before, missed) == (None, None)
        assert got is not None
        assert same(got, one.assembler(full(FULL[:1])))
        assert with_sent is not None
        assert same(with_sent, one.assembler(full([[11, 7.5, "Ideal", 1.5]])))


@pytest.mark.parametrize("diamond", [True, "1", 1.0, None, 2**64, [1]])
async def test_a_remarkable_key_is_left_to_the_careful_way(valkey: Valkey, diamond: object) -> None:
    async with world(valkey.url, MODEL, ONE_VIEW, VIEWS) as one:
        await fill(one)
        await one.completer(keyed(1)["records"], forever())

        assert one.completer.at_once(keyed(diamond)["records"]) is None


@pytest.mark.parametrize(
    ("values", "event_time"),
    [
        ({"carat": float("nan"), "cut": "Good"}, NOW),
        ({"carat": float("inf"), "cut": "Good"}, NOW),
        ({"carat": None, "cut": "Good"}, NOW),
        ({"cut": "Good"}, NOW),
        ({"carat": 1.0, "cut": "Shiny"}, NOW),
        ({"carat": 1.0, "cut": "Good"}, NOW - 3_600_000_001),
    ],
)
async def test_a_remarkable_row_is_left_to_the_careful_way(
    valkey: Valkey, values: dict[str, object], event_time: int
) -> None:
    views = (view("diamonds", {"diamond_id": "int64"}, {"cut": "string", "carat": "float64"}, freshness="1h"),)
    async with world(valkey.url, MODEL, ONE_VIEW, views, wall_clock=lambda: NOW / 1e6) as one:
        await one.write("diamonds", [NewRow([1], values, event_time), NewRow([2], {"carat": 1.0, "cut": "Good"}, NOW)])
        await one.store.read("diamonds", [(1,)])
        await one.completer(keyed(2)["records"], forever())

        assert one.completer.at_once(keyed(2)["records"]) is not None
        assert one.completer.at_once(keyed(1)["records"]) is None


async def test_a_row_from_the_local_copy_never_waits(shop: World) -> None:
    payload = forms(KEYED[:1])["records"]
    await shop.completer(payload, forever())

    with pytest.raises(StopIteration) as finished:
        shop.completer(payload, forever()).send(None)

    assert same(finished.value.value, shop.assembler(full(FULL[:1])))


@pytest.mark.parametrize(
    "payload",
    [
        Table([each.name for each in MODEL.inputs], FULL),
        Table(None, FULL),
        Records([dict(zip([each.name for each in MODEL.inputs], row, strict=True)) for row in FULL]),
    ],
    ids=["table", "positions", "records"],
)
async def test_the_full_request_is_still_taken(payload: Payload, valkey: Valkey) -> None:
    features = {"carat": "diamonds:carat", "cut": "diamonds:cut"}
    async with world(valkey.url, MODEL, features, VIEWS) as one:
        got = await one.completer(payload, forever())

        assert same(got, one.assembler(full(FULL)))
        assert one.store.counters.misses == 0


@pytest.mark.parametrize("count", [1, 3])
async def test_a_value_that_is_sent_wins(shop: World, count: int) -> None:
    columns = [*NAMES, "carat"]
    got = await shop.completer(Table(columns, [[*row, 7.25] for row in KEYED[:count]]), forever())

    assert same(got, shop.assembler(full([[row[0], 7.25, *row[2:]] for row in FULL[:count]])))


async def test_records_with_different_columns_are_each_completed_by_what_they_lack(shop: World) -> None:
    records = [dict(zip(NAMES, row, strict=True)) for row in KEYED]
    records[1] = {"size": 12, "rate": 2.5, "cut": "Fair", "diamond_id": 2}
    records[2] = {**records[2], "carat": 8.5}
    records[4] = dict(zip([each.name for each in MODEL.inputs], FULL[4], strict=True))
    got = await shop.completer(Records(records), forever())
    wanted = [list(row) for row in FULL]
    wanted[2][1] = 8.5

    assert same(got, shop.assembler(full(wanted)))


async def test_entities_that_come_twice_are_read_once(shop: World) -> None:
    await shop.completer(Table(NAMES, [[i, 1, "NL", "a"] for i in range(500)]), forever())

    assert shop.store.counters.fetched == 2


async def test_all_views_and_rows_are_read_in_one_round_trip(shop: World) -> None:
    await shop.completer(Table(NAMES, KEYED), forever())

    assert shop.store.counters.round_trips == 1


async def test_a_view_whose_features_are_all_sent_is_not_read(shop: World) -> None:
    await shop.completer(Records([{"size": 1, "diamond_id": 1, "rate": 0.5}]), forever())

    assert shop.store.counters.fetched == 1


async def test_a_changed_row_is_served_at_once(shop: World) -> None:
    payload = forms(KEYED[:1])["records"]
    await shop.completer(payload, forever())
    told = shop.store.counters.invalidations
    await shop.write("diamonds", [NewRow([1], {"depth": 9.0, "cut": "Fair", "carat": 0.9}, NOW + 1)])
    while shop.store.counters.invalidations == told:  # noqa: ASYNC110  # the store's own word, some turns later
        await asyncio.sleep(0)
    got = await shop.completer(payload, forever())

    assert same(got, shop.assembler(full([[11, 0.9, "Fair", 1.5]])))


async def test_a_thousand_rows_of_which_a_third_is_not_in_the_local_copy(valkey: Valkey) -> None:
    async with asyncio.timeout(60), world(valkey.url, MODEL, FEATURES, VIEWS) as one:
        await one.write("shops", [NewRow(["NL", "a"], {"rate": 1.5}, NOW)])
        rows = [NewRow([i], {"depth": 0.0, "cut": "Good", "carat": i / 8}, NOW) for i in range(1000)]
        await one.write("diamonds", rows)
        await one.completer(Table(NAMES, [[0, i, "NL", "a"] for i in range(700)]), forever())
        got = await one.completer(Table(NAMES, [[i, i, "NL", "a"] for i in range(1000)]), forever())

        assert same(got, one.assembler(full([[i, i / 8, "Good", 1.5] for i in range(1000)])))
        assert one.store.counters.fetched == 1001


# What clients can mend


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (Records([]), "expected 1 to 2000 rows, got 0"),
        (
            Records([{"size": 1, "country": "NL", "shop": "a"}]),
            'column "carat", row 0: expected a value, it is missing; or send "diamond_id", by which view',
        ),
        (Records([{"size": 1, "diamond_id": 1}]), 'column "rate", row 0: .*or send "country" and "shop"'),
        (
            Records([{"diamond_id": 1, "country": "", "shop": "", "sise": 1}]),
            'column "size", row 0: .*not an input: "sise"',
        ),
        (Records([{"size": 1, "diamond_id": "one", "country": "NL", "shop": "a"}]), '"diamond_id"'),
        (Records([{"size": 1, "diamond_id": None, "country": "NL", "shop": "a"}]), 'column "diamond_id", row 0'),
        (Records([{"size": 1, "diamond_id": 2**64, "country": "NL", "shop": "a"}]), '"diamond_id"'),
        (Records([{"size": 1, "diamond_id": True, "country": "NL", "shop": "a"}]), 'column "diamond_id", row 0'),
        (Records([{"size": 1, "diamond_id": 99, "country": "NL", "shop": "a"}]), "row 0.*nothing is stored"),
        (Table(None, [[1, 2]]), "expected a list of 4 values"),
        (Table(["carat", "size", "size"], [[1, 2, 3]]), 'columns: expected every name once, got "size" again'),
        (Table([["size"]], [[1]]), "list of names"),  # type: ignore[list-item]
        (Table(NAMES, [KEYED[0], [1]]), "row 1: expected a list of 4 values, got 1 values"),
        (Table(NAMES, [KEYED[0], [12, 99, "NL", "b"]]), "row 1: .*nothing is stored"),
        (Table(NAMES, [["x", 1, "NL", "a"]]), 'column "size", row 0: expected an integer'),
        (Table(NAMES, [["1", "", "NL", "a"]], is_text=True), 'column "diamond_id", row 0: expected an integer'),
        (Named({"size": [1], "diamond_id": 1}), 'column "diamond_id": expected a list'),
        (Named({"size": [1], "diamond_id": [1, 2]}), 'column "diamond_id": expected 1 rows'),
        (Named({}), 'column "size": expected a value'),
        (Tensors([]), 'column "size": expected a value'),
        (
            Records([{"size": 1, "diamond_id": 1, "country": "NL", "shop": "a"}, {"size": 1}]),
            'column "carat", row 1: expected a value',
        ),
    ],
)
async def test_a_request_that_cannot_be_completed_is_refused_by_name(shop: World, payload: Payload, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        await shop.completer(payload, forever())


async def test_of_a_view_that_is_cache_only_nothing_may_be_sent(valkey: Valkey) -> None:
    views = (view("diamonds", {"diamond_id": "int64"}, {"cut": "string"}, source="cache_only"),)
    async with world(valkey.url, MODEL, {"cut": "diamonds:cut"}, views) as one:
        await one.write("diamonds", [NewRow([1], {"cut": "Good"}, NOW)])
        with pytest.raises(InvalidInput, match='column "cut": it is read from view "diamonds" only, do not send it'):
            await one.completer(full(FULL), forever())
        got = await one.completer(Table(["size", "carat", "rate", "diamond_id"], [[1, 0.5, 0.5, 1]]), forever())

        assert same(got, one.assembler(full([[1, 0.5, "Good", 0.5]])))


# Policies

ONE = Signature(inputs=(column("carat"), column("cut", Kind.STRING, "BYTES", nullable=True)), outputs=())
BOTH = {"carat": "diamonds:carat", "cut": "diamonds:cut"}


def diamonds(carat: dict[str, Any], cut: dict[str, Any], **more: Any) -> Any:
    features: dict[str, Any] = {"carat": {"type": "float64", **carat}, "cut": {"type": "string", **cut}}
    return (view("diamonds", {"diamond_id": "int64"}, features, **more),)


async def test_a_missing_value_is_what_its_policy_says(valkey: Valkey) -> None:
    views = diamonds({"on_missing": "default", "default": 0.5}, {"on_missing": "null"})
    async with world(valkey.url, ONE, BOTH, views) as one:
        got = await one.completer(Records([{"diamond_id": 99}]), forever())

        assert got.values(0) == [0.5]
        assert got.values(1) == [None]


async def test_a_stale_value_is_what_its_policy_says(valkey: Valkey) -> None:
    views = diamonds({"on_stale": "default", "default": 0.5}, {"on_stale": "stale_ok"}, freshness="1h")
    now = NOW / 1e6
    async with world(valkey.url, ONE, BOTH, views, wall_clock=lambda: now) as one:
        await one.write("diamonds", [NewRow([1], {"carat": 0.25, "cut": "Good"}, NOW - 3_600_000_001)])
        got = await one.completer(Records([{"diamond_id": 1}]), forever())

        assert (got.values(0), got.values(1)) == ([0.5], ["Good"])
        assert one.store.counters.stale == 2


async def test_a_value_as_old_as_allowed_is_fresh(valkey: Valkey) -> None:
    views = diamonds({}, {}, freshness="1h")
    async with world(valkey.url, ONE, BOTH, views, wall_clock=lambda: NOW / 1e6) as one:
        await one.write("diamonds", [NewRow([1], {"carat": 0.25, "cut": "Good"}, NOW - 3_600_000_000)])
        got = await one.completer(Records([{"diamond_id": 1}]), forever())

        assert got.values(0) == [0.25]


async def test_a_stale_value_with_the_policy_to_fail_is_nobodys_input(valkey: Valkey) -> None:
    views = diamonds({}, {}, freshness="1h")
    async with world(valkey.url, ONE, BOTH, views) as one:
        await one.write("diamonds", [NewRow([1], {"carat": 0.25, "cut": "Good"}, NOW)])
        with pytest.raises(BadFeatures, match=r'row 0: view "diamonds", feature "carat": .*older'):
            await one.completer(Records([{"diamond_id": 1}]), forever())


async def test_policies_look_only_at_what_is_read(valkey: Valkey) -> None:
    views = diamonds({}, {}, freshness="1h")
    async with world(valkey.url, ONE, {"carat": "diamonds:carat"}, views, wall_clock=lambda: NOW / 1e6) as one:
        await one.write("diamonds", [NewRow([1], {"carat": 0.25}, NOW)])
        got = await one.completer(Records([{"diamond_id": 1, "cut": None}]), forever())

        assert got.values(0) == [0.25]


async def test_a_gap_that_nobody_reads_fails_nothing_when_another_value_is_stale(valkey: Valkey) -> None:
    views = diamonds({"on_stale": "stale_ok"}, {}, freshness="1h")
    async with world(valkey.url, ONE, {"carat": "diamonds:carat"}, views) as one:
        await one.write("diamonds", [NewRow([1], {"carat": 0.25}, NOW)])
        got = await one.completer(Records([{"diamond_id": 1, "cut": None}]), forever())

        assert got.values(0) == [0.25]


async def test_a_value_that_is_sent_is_no_matter_of_the_policy(valkey: Valkey) -> None:
    async with world(valkey.url, ONE, BOTH, diamonds({}, {})) as one:
        await one.write("diamonds", [NewRow([1], {"cut": "Good"}, NOW)])
        got = await one.completer(Records([{"diamond_id": 1, "carat": 4.0}]), forever())

        assert (got.values(0), got.values(1)) == ([4.0], ["Good"])


@pytest.mark.parametrize("count", [1, 2])
async def test_a_stored_nan_is_no_number_for_a_model_that_takes_none(valkey: Valkey, count: int) -> None:
    async with world(valkey.url, ONE, BOTH, diamonds({}, {})) as one:
        await one.write("diamonds", [NewRow([1], {"carat": float("nan"), "cut": "Good"}, NOW)])
        with pytest.raises(BadFeatures, match=r'feature "diamonds:carat" does not fit: .*expected a number$'):
            await one.completer(Records([{"diamond_id": 1}] * count), forever())


@pytest.mark.parametrize("count", [1, 2, 9])
async def test_a_stored_nan_among_plain_numbers_is_found_too(shop: World, count: int) -> None:
    await shop.write("diamonds", [NewRow([5], {"depth": 1.0, "cut": "Good", "carat": float("nan")}, NOW)])
    with pytest.raises(BadFeatures, match=r'feature "diamonds:carat" does not fit: .*expected a number$'):
        await shop.completer(Table(NAMES, [[1, 5, "NL", "a"]] * count), forever())


@pytest.mark.parametrize("count", [1, 2, 9])
async def test_a_level_that_the_model_does_not_know_is_named_with_its_feature(shop: World, count: int) -> None:
    await shop.write("diamonds", [NewRow([5], {"depth": 1.0, "cut": "Shiny", "carat": 1.0}, NOW)])
    with pytest.raises(BadFeatures, match=r'feature "diamonds:cut" does not fit: .*one of "Fair"') as refused:
        await shop.completer(Table(NAMES, [[1, 5, "NL", "a"]] * count), forever())

    assert "Shiny" not in str(refused.value)


async def test_a_damaged_row_is_never_scored(shop: World) -> None:
    await shop.client.set(key_maker(VIEWS[0])([1]), b"\x01damaged")

    with pytest.raises(BadFeatures, match='view "diamonds"'):
        await shop.completer(forms(KEYED[:1])["records"], forever())


async def test_numbers_beyond_53_bits_stay_what_they_are(valkey: Valkey) -> None:
    model = Signature(inputs=(column("n", Kind.INTEGER, "INT64"),), outputs=())
    views = (view("v", {"id": "int64"}, {"n": "int64"}),)
    async with world(valkey.url, model, {"n": "v:n"}, views) as one:
        await one.write("v", [NewRow([2**63 - 1], {"n": 2**62 + 1}, NOW)])
        got = await one.completer(Records([{"id": 2**63 - 1}]), forever())

        assert got.values(0) == [2**62 + 1]


@pytest.mark.parametrize("count", [1, 3])
async def test_lists_fill_inputs_with_a_shape(valkey: Valkey, count: int) -> None:
    model = Signature(inputs=(column("X", datatype="FP32", shape=(3,)), column("k")), outputs=())
    views = (view("v", {"id": "int64"}, {"x": "list[float64]"}),)
    async with world(valkey.url, model, {"X": "v:x"}, views) as one:
        await one.write("v", [NewRow([1], {"x": [0.5, 1.5, -2.0]}, NOW)])
        got = await one.completer(Records([{"id": 1, "k": 0.0}] * count), forever())
        tensors = [
            Tensor("id", "INT64", (count,), values=[1] * count),
            Tensor("k", "FP64", (count,), values=[0.0] * count),
        ]

        assert got.values(0) == [[0.5, 1.5, -2.0]] * count
        assert same(await one.completer(Tensors(tensors), forever()), got)


# When the store is slow or gone


async def test_a_store_that_does_not_answer_costs_its_timeout_and_no_more() -> None:
    views = diamonds({"on_missing": "default", "default": 0.5}, {"on_missing": "null"})
    with private_valkey() as server:
        async with asyncio.timeout(30), world(server.url, ONE, BOTH, views, timeout_ms=20.0) as one:
            with server.paused():
                start = time.monotonic()
                got = await one.completer(Records([{"diamond_id": 1}]), forever())
                took = time.monotonic() - start

            assert (got.values(0), got.values(1)) == ([0.5], [None])
            assert took < 5
            assert one.store.counters.timeouts == 1


async def test_a_requests_deadline_is_kept_when_it_comes_before_the_timeout() -> None:
    with private_valkey() as server:
        async with asyncio.timeout(30), world(server.url, ONE, BOTH, diamonds({}, {}), timeout_ms=60_000.0) as one:
            with server.paused(), pytest.raises(FeaturesUnavailable, match='row 0: view "diamonds", feature "carat"'):
                await one.completer(Records([{"diamond_id": 1}]), time.monotonic() + 0.02)


async def test_a_store_that_is_gone_is_a_503_where_the_policy_is_to_fail() -> None:
    with private_valkey() as server:
        async with asyncio.timeout(30), world(server.url, ONE, BOTH, diamonds({}, {})) as one:
            server.kill()
            with pytest.raises(FeaturesUnavailable, match="cannot be asked"):
                await one.completer(Records([{"diamond_id": 1}]), forever())
