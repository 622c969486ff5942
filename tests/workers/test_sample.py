"""Batches made from a schema."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from workers.runtimes.base import LoadError
from workers.sample import example_batch, neutral_batch, sample_batch
from workers.schema import Column, Schema

FLOAT = Column(name="f", kind="float", datatype="FP32")
COLOR = Column(name="c", kind="categorical", datatype="BYTES", levels=("red", "blue"))
WORD = Column(name="w", kind="string", datatype="BYTES")
FLAG = Column(name="b", kind="boolean", datatype="BOOL")
SMALL = Column(name="i", kind="integer", datatype="INT8")
LIST = Column(name="l", kind="float", datatype="FP32", shape=(-1,))


def nullable(column: Column) -> Column:
    return Column(name=column.name, kind=column.kind, datatype=column.datatype, levels=column.levels, nullable=True)


def test_neutral_rows_are_zeros_first_levels_and_empty_strings() -> None:
    batch = neutral_batch([FLOAT, COLOR, WORD], 2)

    assert (batch.rows, batch.records, batch.texts, batch.shapes) == (2, bytes(16), [["", ""]], None)


def test_neutral_rows_have_one_element_where_a_length_is_open() -> None:
    batch = neutral_batch([FLOAT, LIST], 2)

    assert (batch.records, batch.shapes) == (bytes(16), [(), (1,)])


def test_example_rows_are_repeated_in_order() -> None:
    batch = example_batch([FLOAT, COLOR, WORD], [[1.5, "blue", "x"], [2, "red", "y"]], 3)

    assert batch.records == struct.pack("<fififi", 1.5, 1, 2, 0, 1.5, 1)
    assert batch.texts == [["x", "y", "x"]]


def test_rows_that_differ_in_an_open_length_are_reduced_to_the_first() -> None:
    batch = example_batch([LIST], [[[1, 2]], [[3, 4, 5]]], 2)

    assert (batch.records, batch.shapes) == (struct.pack("<ffff", 1, 2, 1, 2), [(2,)])


def test_null_is_what_a_missing_value_is_stored_as() -> None:
    batch = example_batch([nullable(COLOR), nullable(WORD)], [[None, None]], 1)

    assert (batch.records, batch.texts) == (struct.pack("<i", -1), [[None]])


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        (FLOAT, "1", r'example\[0\]: column "f": expected float'),
        (FLOAT, True, "expected float"),
        (FLOAT, None, "null, but the column is not nullable"),
        (FLOAT, [1], r"expected shape \[\], got \[1\]"),
        (LIST, 1, r"expected shape \[-1\], got \[\]"),
        (COLOR, "green", "expected one of red, blue"),
        (WORD, 1, "expected string"),
        (FLAG, 1, "expected boolean"),
        (SMALL, 1.5, "expected integer"),
        (SMALL, True, "expected integer"),
        (SMALL, 300, "expected INT8"),
        (nullable(SMALL), None, "expected integer, got null"),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_refused(column: Column, value: Any, told: str) -> None:
    with pytest.raises(LoadError, match=told):
        example_batch([column], [[value]], 1)


def test_a_sample_prefers_the_example() -> None:
    with_example = Schema(inputs=(FLOAT,), outputs=(), example=((1.5,),))

    assert sample_batch(with_example, 1).records == struct.pack("<f", 1.5)
    assert sample_batch(Schema(inputs=(FLOAT,), outputs=()), 1).records == bytes(4)
