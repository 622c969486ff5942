"""A shadow's rows are the ones that it would have made itself, without reading anything twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from feature_cache.writer import NewRow
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.core.access import Principal
from gateway.core.payload import Named, Payload, Records, Table, Tensor, Tensors
from gateway.core.request import Deployment, Enriched
from gateway.core.rows import Rows
from gateway.core.signature import Column, Kind, Signature
from gateway.features.assemble import Assembler
from gateway.features.bind import bind
from gateway.features.bindings import Bindings
from gateway.features.handover import Handover
from tests.support.features import World, column, view, world
from tests.support.requests import received
from tests.support.valkey import Valkey

SIZE = column("size", Kind.INTEGER, "INT64")
CUT = column("cut", Kind.CATEGORICAL, "BYTES", levels=("Fair", "Ideal"))
SWAPPED = column("cut", Kind.CATEGORICAL, "BYTES", levels=("Ideal", "Fair"))
CARAT = column("carat")
NOTE = column("note", Kind.STRING, "BYTES")
PRIMARY = (SIZE, CUT)


def signature(*inputs: Column) -> Signature:
    return Signature(inputs=inputs, outputs=())


def endpoints(blue: dict[str, str], new: dict[str, str]) -> dict[str, EndpointConfig]:
    configs = {
        name: DeploymentConfig(model=Path("m"), features=features) for name, features in (("blue", blue), ("next", new))
    }
    return {"e": EndpointConfig(name="e", deployments=configs, traffic={"blue": 100})}


def asked(payload: Payload, rows: Rows, primary: Deployment) -> Enriched:
    call = received("e")
    call.read = lambda: payload
    return Enriched(call, Principal("p"), primary, 0.0, rows)


def plain(name: str, *inputs: Column) -> Deployment:
    return Deployment(endpoint="e", name=name, signature=signature(*inputs))


BLUE = plain("blue", *PRIMARY)
TABLE = Table(["size", "cut", "carat", "note"], [[1, "Ideal", 0.5, "a"], [2, "Fair", 0.7, "b"]])
ROWS = Assembler(BLUE.signature, 100)(TABLE)


def handed(shadow: Deployment) -> Rows | None:
    return Handover(endpoints({}, {}), None).rows(asked(TABLE, ROWS, BLUE), shadow)


def test_the_same_inputs_are_the_same_rows() -> None:
    assert handed(plain("next", *PRIMARY)) is ROWS


@pytest.mark.parametrize("inputs", [(CUT, SIZE), (CUT,), (SIZE, SWAPPED), (column("size", datatype="FP32"), SWAPPED)])
def test_other_inputs_of_the_same_columns_are_made_from_the_primarys_values(inputs: tuple[Column, ...]) -> None:
    assert handed(plain("next", *inputs)) == Assembler(signature(*inputs), 100)(TABLE)


def test_a_column_that_the_primary_does_not_take_must_be_read() -> None:
    assert handed(plain("next", *PRIMARY, CARAT)) is None


NEEDS_MORE = (CARAT, SWAPPED, NOTE)
FORMS: dict[str, Payload] = {
    "table": TABLE,
    "csv": Table(
        ["size", "cut", "carat", "note"], [["1", "Ideal", "0.5", "a"], ["2", "Fair", "0.7", "b"]], is_text=True
    ),
    "records": Records([dict(zip(TABLE.columns or (), row, strict=True)) for row in TABLE.rows]),
    "named": Named({"size": [1, 2], "cut": ["Ideal", "Fair"], "carat": [0.5, 0.7], "note": ["a", "b"]}),
    "tensors": Tensors(
        [
            Tensor("size", "INT64", (2,), values=[1, 2]),
            Tensor("cut", "BYTES", (2,), values=["Ideal", "Fair"]),
            Tensor("carat", "FP64", (2,), values=[0.5, 0.7]),
            Tensor("note", "BYTES", (2,), values=["a", "b"]),
        ]
    ),
}


@pytest.mark.parametrize("form", FORMS)
async def test_what_only_the_body_has_is_read_from_the_body_in_every_form(form: str) -> None:
    shadow = plain("next", *NEEDS_MORE)
    request = asked(FORMS[form], ROWS, BLUE)
    rows = await Handover(endpoints({}, {}), None).read(request, shadow, 0.0)

    assert rows == Assembler(signature(*NEEDS_MORE), 100)(TABLE)


VIEWS = (
    view("diamonds", {"diamond_id": "int64"}, {"cut": "string", "carat": "float64"}),
    view("secret", {"diamond_id": "int64"}, {"rate": "float64"}, source="cache_only"),
)
RATE = column("rate")
NOW = 1_700_000_000_000_000


class Shop:
    """A primary that reads ``cut``, and a shadow beside it, over a real store."""

    def __init__(
        self, one: World, new: dict[str, str], inputs: tuple[Column, ...], primary: tuple[Column, ...] = PRIMARY
    ) -> None:
        blue = BOTH | ({"rate": "secret:rate"} if RATE in primary else {})
        self.one, self.configs = one, endpoints(blue, new)
        self.bindings = Bindings(self.configs, one.views, one.store)
        self.handover = Handover(self.configs, self.bindings)
        self.primary = self.deployment("blue", blue, *primary)
        self.shadow = self.deployment("next", new, *inputs)

    def deployment(self, name: str, features: dict[str, str], *inputs: Column) -> Deployment:
        model = signature(*inputs)
        seen = bind("e", model, features, self.one.views).signature
        return Deployment(endpoint="e", name=name, signature=seen, model_signature=model)

    async def handed(self, payload: Payload) -> tuple[Rows, int]:
        """The shadow's rows, and how many rows of features were read for it, after the primary has read its own."""
        deadline = time.monotonic() + 60
        assembler = Assembler(self.primary.model_signature or self.primary.signature, 100)
        completer = self.bindings.completer(self.primary, assembler)
        assert completer is not None
        request = asked(payload, await completer(payload, deadline), self.primary)
        counters = self.one.store.counters
        before = counters.hits + counters.misses
        rows = self.handover.rows(request, self.shadow)
        if rows is None:
            rows = await self.handover.read(request, self.shadow, deadline)
        return rows, counters.hits + counters.misses - before


BOTH = {"cut": "diamonds:cut"}
CASES: dict[str, tuple[dict[str, str], tuple[Column, ...], int]] = {
    "the same": (BOTH, PRIMARY, 0),
    "other levels": (BOTH, (SIZE, SWAPPED), 0),
    "a column of the body besides": (BOTH, (SIZE, SWAPPED, NOTE), 0),
    "a feature besides": ({**BOTH, "carat": "diamonds:carat"}, (SIZE, CUT, CARAT), 2),
    "a feature that nobody may send": ({**BOTH, "rate": "secret:rate"}, (SIZE, CUT, RATE), 2),
}
KEYED: dict[str, Payload] = {
    "records": Records([{"size": 1, "diamond_id": 7, "note": "a"}, {"size": 2, "diamond_id": 8, "note": "b"}]),
    "table": Table(["size", "diamond_id", "note"], [[1, 7, "a"], [2, 8, "b"]]),
    "csv": Table(["size", "diamond_id", "note"], [["1", "7", "a"], ["2", "8", "b"]], is_text=True),
    "named": Named({"size": [1, 2], "diamond_id": [7, 8], "note": ["a", "b"]}),
    "tensors": Tensors(
        [
            Tensor("size", "INT64", (2,), values=[1, 2]),
            Tensor("diamond_id", "INT64", (2,), values=[7, 8]),
            Tensor("note", "BYTES", (2,), values=["a", "b"]),
        ]
    ),
}
WHOLE = Table(["size", "cut", "carat", "note", "rate"], [[1, "Ideal", 0.1, "a", 1.5], [2, "Fair", 0.2, "b", 2.5]])


@pytest.mark.parametrize("form", KEYED)
@pytest.mark.parametrize("case", CASES)
async def test_features_that_the_primary_read_are_not_read_again(valkey: Valkey, case: str, form: str) -> None:
    features, inputs, read = CASES[case]
    async with asyncio.timeout(60), world(valkey.url, signature(*PRIMARY), BOTH, VIEWS) as one:
        values = {7: ("Ideal", 0.1, 1.5), 8: ("Fair", 0.2, 2.5)}
        await one.write("diamonds", [NewRow([i], {"cut": v[0], "carat": v[1]}, NOW) for i, v in values.items()])
        await one.write("secret", [NewRow([i], {"rate": v[2]}, NOW) for i, v in values.items()])
        rows, really = await Shop(one, features, inputs).handed(KEYED[form])

    assert rows == Assembler(signature(*inputs), 100)(WHOLE)
    assert really == read


async def test_the_same_column_from_another_view_is_read_for_the_shadow(valkey: Valkey) -> None:
    views = (*VIEWS, view("other", {"diamond_id": "int64"}, {"cut": "string"}))
    async with asyncio.timeout(60), world(valkey.url, signature(*PRIMARY), BOTH, views) as one:
        await one.write("diamonds", [NewRow([7], {"cut": "Ideal", "carat": 0.1}, NOW)])
        await one.write("other", [NewRow([7], {"cut": "Fair"}, NOW)])
        shop = Shop(one, {"cut": "other:cut"}, PRIMARY)
        rows, _ = await shop.handed(Records([{"size": 1, "diamond_id": 7}]))

    assert rows.values(1) == ["Fair"]


async def test_what_only_the_store_may_give_is_read_anew_and_not_sent(valkey: Valkey) -> None:
    async with asyncio.timeout(60), world(valkey.url, signature(*PRIMARY), BOTH, VIEWS) as one:
        await one.write("diamonds", [NewRow([7], {"cut": "Ideal", "carat": 0.1}, NOW)])
        await one.write("secret", [NewRow([7], {"rate": 1.5}, NOW)])
        inputs = (SIZE, CUT, RATE, NOTE)
        shop = Shop(one, {**BOTH, "rate": "secret:rate"}, inputs, (SIZE, CUT, RATE))
        rows, read = await shop.handed(Records([{"size": 1, "diamond_id": 7, "note": "a"}]))

    assert (rows.values(1), rows.values(2), rows.values(3)) == (["Ideal"], [1.5], ["a"])
    assert read == 1
