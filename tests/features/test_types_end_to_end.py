"""From a writer through a real store to the record that a worker gets: no type loses anything, in either format."""

from __future__ import annotations

import asyncio
import math
import struct
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_cache.schema import FeastSource
from feature_cache.writer import NewRow
from gateway.core.payload import Records
from gateway.core.signature import Column, Kind, Signature
from tests.support.features import column, view, world
from tests.support.valkey import Valkey

int64 = st.integers(-(2**63), 2**63 - 1)
# R's and everybody's strings end at a NUL: a column refuses them, as it does a client's.
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
KINDS: dict[str, tuple[Column, str, st.SearchStrategy[Any]]] = {
    "int64": (column("x", Kind.INTEGER, "INT64"), "int64", int64),
    "int32": (column("x", Kind.INTEGER, "INT32"), "int32", st.integers(-(2**31), 2**31 - 1)),
    "double with NaN": (column("x", nullable=True), "float64", st.floats()),
    "float": (column("x", datatype="FP32"), "float32", st.floats(width=32, allow_nan=False)),
    "bool": (column("x", Kind.BOOLEAN, "BOOL"), "bool", st.booleans()),
    "string": (column("x", Kind.STRING, "BYTES"), "string", text),
    "bytes": (column("x", Kind.STRING, "BYTES"), "bytes", text.map(str.encode)),
    "level": (column("x", Kind.CATEGORICAL, "BYTES", levels=("", "a", "é")), "string", st.sampled_from(["", "a", "é"])),
    "whole seconds": (column("x", Kind.INTEGER, "INT64"), "timestamp", st.integers(0, 2**31).map(lambda s: s * 10**6)),
    "list of int64": (column("x", Kind.INTEGER, "INT64", shape=(3,)), "list[int64]", st.tuples(int64, int64, int64)),
    "list of double": (
        column("x", shape=(2,)),
        "list[float64]",
        st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
    ),
}


def expected(of: Column, value: Any) -> list[Any]:
    """What the record must say, computed without the gateway."""
    if of.shape:
        return [list(value)]
    if isinstance(value, bytes):
        return [value.decode()]
    if isinstance(value, float) and math.isnan(value):
        return [None]
    return [struct.unpack("<f", struct.pack("<f", value))[0] if of.datatype.name == "FP32" else value]


@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.parametrize("layout", ["compact", "feast"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_value_reaches_the_model_as_it_was_written(
    shared_valkey: Valkey, layout: str, name: str, data: st.DataObject
) -> None:
    of, kind, values = KINDS[name]
    wanted = data.draw(st.lists(values, min_size=1, max_size=4))
    more: dict[str, Any] = {"format": layout}
    if layout == "feast":
        more["feast"] = FeastSource(project="p", view="v")
    model = Signature(inputs=(of, column("k", nullable=True)), outputs=())

    async def through() -> list[Any]:
        shared_valkey.empty()
        views = (view("v", {"id": "int64"}, {"f": kind}, **more),)
        async with asyncio.timeout(30), world(shared_valkey.url, model, {"x": "v:f"}, views) as one:
            rows = [NewRow([i], {"f": list(v) if isinstance(v, tuple) else v}, 5) for i, v in enumerate(wanted)]
            await one.write("v", rows)
            together = await one.completer(
                Records([{"id": i, "k": 0.5} for i in range(len(wanted))]), time.monotonic() + 30
            )
            alone = [
                await one.completer(Records([{"id": i, "k": 0.5}]), time.monotonic() + 30) for i in range(len(wanted))
            ]
            assert [each.values(0)[0] for each in alone] == together.values(0)
            return together.values(0)

    got = asyncio.run(through())

    for value, found in zip(wanted, got, strict=True):
        (want,) = expected(of, value)
        assert found == want
        if isinstance(want, float):
            assert np.signbit(found) == np.signbit(want)
