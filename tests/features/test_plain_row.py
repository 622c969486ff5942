"""A plain row is what the general way would have made of it, and whatever is not plain is left to the general way."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput
from gateway.core.payload import Named, Payload, Records, Table, Tensor, Tensors
from gateway.core.rows import Layout
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME
from gateway.features.assemble import Assembler
from gateway.features.plain_row import PlainRow

LEVELS = ("a", "ü", "", "long level")


def column(
    name: str,
    datatype: str,
    *shape: int,
    levels: tuple[str, ...] = (),
    nullable: bool = False,
    kind: Kind | None = None,
) -> Column:
    kind = kind or (Kind.CATEGORICAL if levels else Kind.FLOAT if datatype.startswith("FP") else Kind.INTEGER)
    return Column(name=name, kind=kind, datatype=BY_NAME[datatype], shape=shape, levels=levels, nullable=nullable)


MATRIX = (column("x", "FP32", 3),)
MIXED = (column("f", "FP64"), column("level", "BYTES", levels=LEVELS), column("i", "INT32"))

SIGNATURES = [
    MATRIX,
    MIXED,
    (column("x", "FP32"),),
    (column("x", "FP64", nullable=True),),
    (column("x", "FP16", 2, 2),),
    (column("x", "FP32", 70),),
    (column("x", "INT32", nullable=True),),
    (column("x", "INT64", 2),),
    (column("level", "BYTES", levels=LEVELS),),
    (column("level", "BYTES", 2, levels=LEVELS),),
    (column("b", "BOOL", kind=Kind.BOOLEAN),),
    (column("s", "BYTES", kind=Kind.STRING),),
    (column("x", "FP32"), column("y", "FP32")),
    (column("x", "FP32", nullable=True), column("y", "FP64")),
    (column("i", "UINT8"), column("j", "UINT64"), column("k", "INT8")),
    (column("v", "FP32", 2), column("level", "BYTES", levels=LEVELS, nullable=True), column("w", "FP64", 1)),
    (column("x", "FP32"), column("b", "BOOL", kind=Kind.BOOLEAN)),
    (column("x", "FP32"), column("s", "BYTES", kind=Kind.STRING)),
]

numbers = st.one_of(
    st.floats(-1e3, 1e3),
    st.sampled_from([math.nan, math.inf, -math.inf, 0, 1, 1.5, 65_519.0, 65_520.0, 3.4028235677973366e38, 10**400]),
    st.integers(-(2**64), 2**64),
    st.sampled_from([2**54 + 2**30 + 1, -(2**60) - 2**36 - 1, 2**63 + 2**39 + 1]),
)
"""The last ones make another single when they are rounded to a double first."""

odd = st.sampled_from([True, None, "1", "b", b"a", b"\xff", 1.0, 1.5, 255, 2**31, 2**64, 10**400, math.nan, [1.0]])


def values_of(draw: st.DrawFn, column: Column, count: int) -> list[Any]:
    """Such as the column wants, but that a number may be too large for it, or be NaN."""
    plain: st.SearchStrategy[Any] = {
        Kind.FLOAT: numbers,
        Kind.INTEGER: st.integers(-100, 300),
        Kind.BOOLEAN: st.booleans(),
        Kind.STRING: st.text(max_size=3),
        Kind.CATEGORICAL: st.sampled_from(LEVELS),
    }[column.kind]
    return [draw(plain), *[1.0] * (count - 1)] if count > 9 else [draw(plain) for _ in range(count)]


def raw_of(values: list[Any], datatype: str) -> bytes:
    """Raw elements; zeros where a value has no such form."""
    if datatype == "BYTES":
        elements = [value if type(value) is bytes else str(value).encode() for value in values]
        return b"".join([struct.pack("<I", len(element)) + element for element in elements])
    with np.errstate(all="ignore"):
        try:
            return np.array(values, BY_NAME[datatype].numpy).tobytes()
        except (ValueError, TypeError, OverflowError):
            return bytes(BY_NAME[datatype].size * len(values))


def tensors_of(draw: st.DrawFn, signature: tuple[Column, ...]) -> list[Tensor]:
    """Those of one row, with one flaw at most."""
    is_raw, is_narrow = draw(st.booleans()), draw(st.booleans())
    flawed = signature[draw(st.integers(0, len(signature) - 1))]
    flaw = draw(st.sampled_from(["", "order", "datatype", "shape", "rows", "value", "length", "form", "more", "fewer"]))
    tensors = []
    for column in signature:
        is_wrong = column is flawed
        shape = (1, *(column.shape or ((1,) if is_narrow else ())))
        datatype = "BYTES" if column.kind is Kind.CATEGORICAL else column.datatype.name
        if is_wrong and flaw == "shape":
            shape = draw(st.sampled_from([(), (1,), (1, 1), (1, 2), (1, 1, 1), (1, 4)]))
        elif flaw == "rows":
            shape = (draw(st.sampled_from([0, 2])), *shape[1:])
        if is_wrong and flaw == "datatype":
            datatype = draw(st.sampled_from(["FP32", "FP64", "INT32", "INT64", "UINT8", "BOOL", "BYTES", "FP99"]))
        values = values_of(draw, column, math.prod(shape))
        if is_wrong and flaw == "value" and values:
            values[-1] = draw(odd)
        elif is_wrong and flaw == "length":
            values = values[1:] if draw(st.booleans()) else [*values, *values]
        if is_raw != (is_wrong and flaw == "form") and datatype in BY_NAME:
            raw = raw_of(values, datatype)
            if is_wrong and flaw == "value":
                raw = raw[:-1] + bytes([draw(st.integers(0, 255))])
            tensors.append(Tensor(column.name, datatype, shape, raw if draw(st.booleans()) else memoryview(raw)))
        else:
            tensors.append(Tensor(column.name, datatype, shape, None, values))
    if flaw == "order":
        return draw(st.permutations(tensors))
    if flaw == "more":
        return [*tensors, Tensor(draw(st.sampled_from(["more", "n0"])), "FP32", (1,), None, [1.0])]
    return tensors[1:] if flaw == "fewer" and len(tensors) > 1 else tensors


def nested(values: list[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return values[0]
    step = math.prod(shape[1:])
    return [nested(values[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def json_of(draw: st.DrawFn, signature: tuple[Column, ...]) -> list[Payload]:
    """One row in every form of JSON, with one flaw at most. JSON has no NaN and no bytes."""
    row: list[Any] = []
    for column in signature:
        values = values_of(draw, column, math.prod(column.shape))
        row.append(nested([0.5 if value != value else value for value in values], column.shape))  # noqa: PLR0124
    if draw(st.booleans()):
        place = draw(st.integers(0, len(row) - 1))
        flaws = odd.filter(lambda value: type(value) is not bytes and value == value)  # noqa: PLR0124
        row[place] = draw(st.one_of(flaws, st.sampled_from([row[place : place + 1], [], [1.0, 2.0], [1.0, True]])))
    names = [column.name for column in signature]
    record = dict(zip(names, row, strict=True))
    return [
        Records([record]),
        Records([{**record, "more": 1}]),
        Table(names, [row]),
        Table(names[::-1], [row[::-1]]),
        Table(None, [row]),
        Table(None, [row[0]]),
        Table(names, [row[1:]]),
        Named({name: [value] for name, value in record.items()}),
        Named({name: [value, value] for name, value in record.items()}),
        Named(record),
    ]


@st.composite
def requests(draw: st.DrawFn, *, of_tensors: bool) -> tuple[tuple[Column, ...], list[Payload]]:
    """A signature, and requests for it."""
    signature = draw(st.sampled_from(SIGNATURES))
    if not of_tensors:
        return signature, json_of(draw, signature)
    return signature, [Tensors(tensors_of(draw, signature)) for _ in range(3)]


def outcome(make: Callable[[Payload], Any], payload: Payload) -> Any:
    try:
        rows = make(payload)
    except InvalidInput as error:
        return str(error)
    return rows.layout, rows.count, type(rows.records), rows.records, rows.texts


def pair(signature: tuple[Column, ...]) -> tuple[Assembler, Assembler]:
    """One as it is, and one for which nothing is plain."""
    usual, thorough = (Assembler(Signature(inputs=signature, outputs=()), 100) for _ in range(2))
    thorough._plain = nothing = PlainRow(Layout.of(()))
    thorough._of_values = nothing.of_values
    return usual, thorough


@settings(max_examples=600, deadline=None)
@given(requests(of_tensors=True))
def test_a_plain_row_of_tensors_is_what_the_general_way_makes_of_it(
    drawn: tuple[tuple[Column, ...], list[Payload]],
) -> None:
    usual, thorough = pair(drawn[0])

    for payload in drawn[1]:
        assert outcome(usual, payload) == outcome(thorough, payload), payload


@settings(max_examples=200, deadline=None)
@given(requests(of_tensors=False))
def test_a_plain_row_of_json_is_what_the_general_way_makes_of_it(
    drawn: tuple[tuple[Column, ...], list[Payload]],
) -> None:
    usual, thorough = pair(drawn[0])

    for payload in drawn[1]:
        assert outcome(usual, payload) == outcome(thorough, payload), payload


def mixed(*shape: int, order: tuple[int, ...] = (0, 1, 2)) -> list[Tensor]:
    tensors = [
        Tensor("f", "FP64", shape, None, [0.5]),
        Tensor("level", "BYTES", shape, None, ["ü"]),
        Tensor("i", "INT32", shape, None, [7]),
    ]
    return [tensors[place] for place in order]


@pytest.mark.parametrize("tensors", [mixed(1), mixed(1, 1), mixed(1, 1, order=(2, 0, 1))])
def test_scalars_are_plain_in_any_order_and_both_forms(tensors: list[Tensor]) -> None:
    assert PlainRow(Layout.of(MIXED)).of_tensors(tensors) == struct.pack("<dii", 0.5, 1, 7)


@pytest.mark.parametrize(
    "given",
    [
        Tensor("x", "FP32", (1, 3), None, [1, 2.5, 3]),
        Tensor("x", "INT64", (1, 3), None, [1, 2.5, 3]),
        Tensor("x", "FP32", (1, 3), struct.pack("<3f", 1, 2.5, 3)),
    ],
)
def test_an_only_vector_is_plain_in_values_and_raw(given: Tensor) -> None:
    assert PlainRow(Layout.of(MATRIX)).of_tensors([given]) == struct.pack("<3f", 1, 2.5, 3)


def test_a_json_row_with_a_vector_is_plain() -> None:
    columns = (*MIXED, column("v", "FP32", 2))

    assert PlainRow(Layout.of(columns)).of_values([0.5, "ü", 7, [1, 2]]) == struct.pack("<dii2f", 0.5, 1, 7, 1, 2)


@pytest.mark.parametrize(
    "values", [[0.5, "a", True], [None, "a", 1], [0.5, "b", 1], [0.5, "a", 2**31], [0.5, "a", 1.0]]
)
def test_what_is_remarkable_is_not_plain(values: list[Any]) -> None:
    assert PlainRow(Layout.of(MIXED)).of_scalars(values) is None


@pytest.mark.parametrize("size", [3, 100])
@pytest.mark.parametrize("raw", [True, False])
def test_nan_is_not_plain_however_long_the_vector(size: int, raw: bool) -> None:
    values = [1.0] * (size - 1) + [math.nan]
    given = Tensor("x", "FP32", (1, size), struct.pack(f"<{size}f", *values) if raw else None, None if raw else values)

    assert PlainRow(Layout.of((column("x", "FP32", size),))).of_tensors([given]) is None


@pytest.mark.parametrize("kind", [bytes, memoryview])
@pytest.mark.parametrize(
    "columns", [MATRIX, (column("x", "FP32", 70),), (column("x", "FP64", nullable=True),), (column("x", "INT64", 2),)]
)
def test_raw_elements_of_an_only_column_are_the_record(
    columns: tuple[Column, ...], kind: Callable[[bytes], Any]
) -> None:
    (only,) = columns
    raw = bytes(only.elements * only.storage.size)
    given = Tensor("x", only.datatype.name, (1, *only.shape), kind(raw))
    record = PlainRow(Layout.of(columns)).of_tensors([given])

    assert (type(record), record) == (bytes, raw)


@pytest.mark.parametrize("sizes", [(4, 4), (12, 4), (8, 8), (4, 12), (0, 16)])
def test_what_one_tensor_has_too_much_is_not_lent_to_another(sizes: tuple[int, int]) -> None:
    columns = (column("x", "FP64"), column("y", "FP64"))
    given = [Tensor(name, "FP64", (1,), bytes(size)) for name, size in zip("xy", sizes, strict=True)]

    assert (PlainRow(Layout.of(columns)).of_tensors(given) is None) == (sizes != (8, 8))


@pytest.mark.parametrize("size", [0, 11, 13, 24])
def test_raw_elements_of_another_length_are_not_plain(size: int) -> None:
    assert PlainRow(Layout.of(MATRIX)).of_tensors([Tensor("x", "FP32", (1, 3), bytes(size))]) is None


def test_a_form_that_is_known_gives_each_request_its_own_row() -> None:
    assembler = Assembler(Signature(inputs=MATRIX, outputs=()), 100)
    heads = (("x", "FP32", (1, 3)),)
    given = [Tensors([Tensor(*heads[0], struct.pack("<3f", n, 2, 3))], heads) for n in range(3)]
    records = [assembler(payload).records for payload in given]

    assert (records, list(assembler._plain.readers)) == ([payload.tensors[0].raw for payload in given], [heads])


def test_infinity_is_a_number() -> None:
    given = Tensor("x", "FP32", (1, 3), None, [math.inf, 1.0, math.inf])

    assert PlainRow(Layout.of(MATRIX)).of_tensors([given]) == struct.pack("<3f", math.inf, 1, math.inf)


def test_tensors_that_do_not_fit_leave_nothing_behind() -> None:
    plain = PlainRow(Layout.of(MATRIX))
    for number in range(1000):
        plain.of_tensors([Tensor(f"name-{number}", "FP32", (1, 3), None, [1.0, 2.0, 3.0])])
        plain.of_tensors([Tensor("x", "FP32", (number + 2, 3), None, [1.0] * 3 * (number + 2))])

    assert plain.readers == {}


def test_of_those_that_fit_a_bounded_number_is_remembered() -> None:
    columns = tuple(column(f"c{number}", "FP32") for number in range(9))
    plain = PlainRow(Layout.of(columns))
    for number in range(600):
        shapes = [(1, 1) if number >> place & 1 else (1,) for place in range(9)]
        tensors = [Tensor(f"c{place}", "FP32", shape, None, [1.0]) for place, shape in enumerate(shapes)]
        assert plain.of_tensors(tensors) == struct.pack("<9f", *[1.0] * 9)

    assert 0 < len(plain.readers) <= 256
