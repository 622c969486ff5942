"""Whatever is in the records comes out as the tensors that numpy would make of it."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput
from gateway.core.rows import Layout, Rows
from gateway.edge.oip_outputs import OutputPlan
from gateway.edge.oip_tensors import frame
from tests.support.oip_stack import column

COLUMNS = (
    column("a", "FP64"),
    column("b", "INT16"),
    column("cut", "BYTES", levels=("Fair", "Ideal")),
    column("note", "BYTES"),
    column("flag", "BOOL"),
    column("vec", "FP32", 3),
)
LAYOUT = Layout.of(COLUMNS)
PLAN = OutputPlan.of(LAYOUT)
ROW = st.tuples(
    st.floats(), st.integers(-(2**15), 2**15 - 1), st.sampled_from([-1, 0, 1]), st.none() | st.text(max_size=5),
    st.booleans(), st.lists(st.floats(width=32), min_size=3, max_size=3),
)  # fmt: skip


def rows_of(values: list[tuple[Any, ...]]) -> Rows:
    array = np.array([(a, b, cut, flag, vec) for a, b, cut, _, flag, vec in values], dtype=LAYOUT.dtype)
    return Rows(LAYOUT, len(values), array.tobytes(), ([note for _, _, _, note, _, _ in values],))


@given(st.lists(ROW, min_size=1, max_size=4))
def test_raw_bytes_are_the_columns_of_the_rows(values: list[tuple[Any, ...]]) -> None:
    rows = rows_of(values)
    levels = {-1: b"", 0: b"Fair", 1: b"Ideal"}

    assert [c.raw(rows) for c in PLAN.columns] == [
        np.array([v[0] for v in values], "<f8").tobytes(),
        np.array([v[1] for v in values], "<i2").tobytes(),
        b"".join(frame(levels[v[2]]) for v in values),
        b"".join(frame((v[3] or "").encode()) for v in values),
        bytes(v[4] for v in values),
        np.array([v[5] for v in values], "<f4").tobytes(),
    ]


@given(st.lists(ROW, min_size=1, max_size=4))
def test_values_are_those_of_the_rows(values: list[tuple[Any, ...]]) -> None:
    rows = rows_of(values)
    levels = {-1: None, 0: "Fair", 1: "Ideal"}
    a, *rest = [c.values(rows) for c in PLAN.columns]

    assert struct.pack(f"{len(a)}d", *a) == struct.pack(f"{len(a)}d", *[v[0] for v in values])
    assert rest[:4] == [
        [v[1] for v in values],
        [levels[v[2]] for v in values],
        [v[3] for v in values],
        [v[4] for v in values],
    ]
    assert len(rest[4]) == 3 * len(values)


def test_a_scalar_has_a_second_dimension_of_one() -> None:
    rows = rows_of([(1.0, 2, 0, "x", True, [1, 2, 3])] * 2)

    assert [c.shape(rows) for c in PLAN.columns] == [[2, 1]] * 5 + [[2, 3]]


def test_the_only_column_is_not_copied() -> None:
    layout = Layout.of((column("y", "FP32", 2),))
    rows = Rows(layout, 2, struct.pack("<4f", 1, 2, 3, math.nan))

    assert OutputPlan.of(layout).columns[0].raw(rows) is rows.records


def test_outputs_come_in_the_order_asked_for() -> None:
    assert [c.name for c in PLAN.pick(["note", "a"])] == ["note", "a"]


@pytest.mark.parametrize("names", [["a", "zzz"], ["a", "a"]])
def test_an_unknown_or_repeated_output_is_refused(names: list[str]) -> None:
    with pytest.raises(InvalidInput):
        PLAN.pick(names)
