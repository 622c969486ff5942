"""An answer as its readers expect it: bare values, records, or tidymodels' names."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.request import Answer
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.edge.json_answer import predictions, predictions_by_vetiver_name, vetiver_names
from tests.support.edge_service import CUT, PRICE, deployment, rows_of

CLASS = Column(name="label", kind=Kind.CATEGORICAL, datatype=BY_NAME["BYTES"], levels=("B", "M"))
CHANCES = Column(name="probabilities", kind=Kind.FLOAT, datatype=BY_NAME["FP32"], shape=(2,))
NOTE = Column(name="note", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
COUNT = Column(name="count", kind=Kind.INTEGER, datatype=BY_NAME["INT32"])


def answer(columns: list[Column], *rows: tuple[object, ...]) -> Answer:
    return Answer(deployment(outputs=columns), rows_of(columns, *rows))


def test_one_output_gives_bare_values() -> None:
    assert predictions(answer([PRICE], (326.0,), (18.5,))) == [326.0, 18.5]


def test_several_outputs_give_records_by_name() -> None:
    got = predictions(answer([CLASS, PRICE], (1, 0.5), (-1, 0.25)))

    assert got == [{"label": "M", "price": 0.5}, {"label": None, "price": 0.25}]


def test_a_class_is_shown_by_name_and_a_missing_one_as_null() -> None:
    assert predictions(answer([CLASS], (0,), (-1,))) == ["B", None]


@pytest.mark.parametrize("count", [1, 8, 9, 50])
@pytest.mark.parametrize("columns", [[PRICE], [CLASS], [CLASS, PRICE], [NOTE], [NOTE, PRICE], [CHANCES]])
def test_few_rows_and_many_rows_are_shown_alike(columns: list[Column], count: int) -> None:
    values = {"price": 0.5, "label": 1, "note": "ok", "probabilities": (0.25, 0.75)}
    shown = {"price": 0.5, "label": "M", "note": "ok", "probabilities": [0.25, 0.75]}
    row = tuple(values[column.name] for column in columns)
    got = predictions(answer(columns, *[row] * count))

    assert got == [shown[columns[0].name] if len(columns) == 1 else {c.name: shown[c.name] for c in columns}] * count


PAIR = Column(name="pair", kind=Kind.CATEGORICAL, datatype=BY_NAME["BYTES"], levels=("a", "b"), shape=(2,))
NUMBERS = st.floats() | st.sampled_from([0.1, 1e16, -0.0])


@given(
    st.lists(st.sampled_from([PRICE, CLASS, CHANCES, COUNT, PAIR]), min_size=1, unique_by=lambda column: column.name),
    st.lists(
        st.tuples(NUMBERS, st.integers(-1, 1), st.tuples(NUMBERS, NUMBERS), st.integers(0, 9), st.integers(-1, 1)),
        min_size=1,
        max_size=8,
    ),
)
def test_few_rows_are_written_as_numpy_has_them(columns: list[Column], values: list[tuple[Any, ...]]) -> None:
    named = [
        dict(zip(["price", "label", "probabilities", "count", "pair"], (*row[:4], (row[4], row[4])), strict=True))
        for row in values
    ]
    with np.errstate(over="ignore"):
        given_ = answer(columns, *[tuple(row[column.name] for column in columns) for row in named])
    by_column = [given_.rows.values(index) for index in range(len(columns))]
    names = [column.name for column in columns]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*by_column, strict=True)]

    assert msgspec.json.encode(predictions(given_)) == msgspec.json.encode(rows if len(columns) > 1 else by_column[0])


@pytest.mark.parametrize("length", [0, 64, 65])
def test_a_vector_of_any_length_is_shown(length: int) -> None:
    vector = Column(name="v", kind=Kind.FLOAT, datatype=BY_NAME["FP64"], shape=(length,))

    assert predictions(answer([vector], ((1.5,) * length,))) == [[1.5] * length]


@pytest.mark.parametrize("count", [1, 9])
def test_nan_and_infinity_are_null_on_the_wire(count: int) -> None:
    encoded = msgspec.json.encode(predictions(answer([PRICE], *[(math.nan,), (math.inf,)] * count)))

    assert encoded == b"[" + b",".join([b"null,null"] * count) + b"]"


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ([PRICE], [[".pred"]]),
        ([COUNT], [[".pred"]]),
        ([CLASS], [[".pred_class"]]),
        ([NOTE], [[".pred_class"]]),
        ([CLASS, CHANCES], [[".pred_class"], [".pred_B", ".pred_M"]]),
        ([CHANCES], [[".pred_1", ".pred_2"]]),
        ([CLASS, PRICE], [[".pred_class"], [".pred_price"]]),
        ([PRICE, COUNT], [[".pred_price"], [".pred_count"]]),
        ([CLASS, CUT], [[".pred_label"], [".pred_cut"]]),
    ],
)
def test_outputs_get_the_names_that_tidymodels_gives(columns: list[Column], names: list[list[str]]) -> None:
    assert vetiver_names(tuple(columns)) == names


def test_a_tidymodels_name_is_kept() -> None:
    lower = Column(name=".pred_lower", kind=Kind.FLOAT, datatype=BY_NAME["FP64"])

    assert vetiver_names((PRICE, lower)) == [[".pred_price"], [".pred_lower"]]


@pytest.mark.parametrize("count", [1, 9])
def test_probabilities_are_spread_over_columns_by_level(count: int) -> None:
    got = predictions_by_vetiver_name(answer([CLASS, CHANCES], *[(1, (0.25, 0.75))] * count))

    assert got == [{".pred_class": "M", ".pred_B": 0.25, ".pred_M": 0.75}] * count


def test_a_number_is_a_data_frame_of_one_column() -> None:
    assert predictions_by_vetiver_name(answer([PRICE], (21.5,))) == [{".pred": 21.5}]
