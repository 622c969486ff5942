"""The same rows or the same error, whatever form the values come in."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput
from gateway.core.payload import Named, Payload, Records, Table, Tensor, Tensors
from gateway.core.rows import Rows
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME
from gateway.features.assemble import Assembler

LEVELS = ("Fair", "Good", "Ideal")


def column(name: str, kind: Kind = Kind.FLOAT, datatype: str = "FP64", **more: Any) -> Column:
    return Column(name=name, kind=kind, datatype=BY_NAME[datatype], **more)


CARAT = column("carat")
CUT = column("cut", Kind.CATEGORICAL, "BYTES", levels=LEVELS)
COUNT = column("count", Kind.INTEGER, "INT32")
FLAG = column("flag", Kind.BOOLEAN, "BOOL")
NOTE = column("note", Kind.STRING, "BYTES")


def assembler(*columns: Column, max_rows: int = 100) -> Assembler:
    return Assembler(Signature(inputs=columns, outputs=()), max_rows)


def bytes_tensor(values: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)


def forms(columns: tuple[Column, ...], rows: list[list[Any]]) -> dict[str, Payload]:
    """The same rows in every form that can say them."""
    names = [c.name for c in columns]
    back = list(reversed(names))
    by_name = [dict(zip(names, row, strict=True)) for row in rows]
    series = {name: [row[name] for row in by_name] for name in names}
    tensors = []
    for c in columns:
        typed = series[c.name]
        n = len(rows)
        if c.datatype.name == "BYTES":
            tensors.append(Tensor(c.name, "BYTES", (n, 1), raw=bytes_tensor(typed)))
        else:
            tensors.append(Tensor(c.name, c.datatype.name, (n,), raw=np.array(typed, c.datatype.numpy).tobytes()))
    return {
        "records": Records(by_name),
        "table": Table(back, [[row[name] for name in back] for row in by_name]),
        "positions": Table(None, rows),
        "named": Named(series),
        "raw tensors": Tensors(list(reversed(tensors))),
        "typed tensors": Tensors(
            [Tensor(c.name, c.datatype.name, (len(rows), 1), values=series[c.name]) for c in columns]
        ),
        "csv": Table(names, [[_cell(v) for v in row] for row in rows], is_text=True),
    }


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


row = st.tuples(
    st.floats(allow_nan=False, width=64), st.sampled_from(LEVELS), st.integers(-(2**31) + 1, 2**31 - 1), st.booleans()
)


@given(st.lists(row, min_size=1, max_size=9))
def test_every_form_gives_the_same_rows(rows: list[tuple[Any, ...]]) -> None:
    columns = (CARAT, CUT, COUNT, FLAG)
    expected = b"".join(struct.pack("<di i?", a, LEVELS.index(b), c, d) for a, b, c, d in rows)
    assemble = assembler(*columns)

    for form, payload in forms(columns, [list(r) for r in rows]).items():
        assert assemble(payload).records == expected, form


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=6))
def test_strings_travel_beside_the_record(notes: list[str]) -> None:
    assemble = assembler(CARAT, NOTE)
    payloads = forms((CARAT, NOTE), [[1.5, note] for note in notes])

    for form, payload in payloads.items():
        rows = assemble(payload)
        assert (rows.records, rows.texts) == (struct.pack("<d", 1.5) * len(notes), (notes,)), form


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("form", ["records", "table", "positions", "named", "typed tensors"])
@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"carat": "heavy"}, 'column "carat", row LAST: expected a number, got "heavy"'),
        ({"carat": True}, 'column "carat", row LAST: expected a number, got true'),
        ({"carat": None}, 'column "carat", row LAST: expected a number, got nothing'),
        ({"cut": "Poor"}, 'column "cut", row LAST: expected one of "Fair", "Good", "Ideal", got "Poor"'),
        ({"cut": 1}, 'column "cut", row LAST: expected one of "Fair", "Good", "Ideal", got 1'),
        ({"count": 1.5}, 'column "count", row LAST: expected an integer, got 1.5'),
        (
            {"count": 2**31},
            'column "count", row LAST: expected an integer from -2147483648 to 2147483647, got 2147483648',
        ),
        ({"flag": 1}, 'column "flag", row LAST: expected true or false, got 1'),
    ],
)
def test_every_form_makes_the_same_complaint(form: str, count: int, wrong: dict[str, Any], complaint: str) -> None:
    columns = (CARAT, CUT, COUNT, FLAG)
    fine = {"carat": 0.3, "cut": "Good", "count": 2, "flag": True}
    rows = [list(fine.values())] * (count - 1) + [list({**fine, **wrong}.values())]
    names = [c.name for c in columns]
    series = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    payloads: dict[str, Payload] = {
        "records": Records([dict(zip(names, row, strict=True)) for row in rows]),
        "table": Table(names, rows),
        "positions": Table(None, rows),
        "named": Named(series),
        "typed tensors": Tensors([Tensor(c.name, c.datatype.name, (count,), values=series[c.name]) for c in columns]),
    }

    with pytest.raises(InvalidInput) as caught:
        assembler(*columns)(payloads[form])

    assert str(caught.value) == complaint.replace("LAST", str(count - 1))


def test_a_missing_column_is_named_with_what_nobody_took() -> None:
    with pytest.raises(InvalidInput, match=r'"carat", row 1: expected a value, it is missing; .*"karat"'):
        assembler(CARAT)(Records([{"carat": 1.0}, {"karat": 1.0}]))


def test_columns_that_the_model_does_not_take_are_ignored() -> None:
    rows = assembler(CARAT)(Records([{"carat": 1.0, "colour": "red"}]))

    assert rows.records == struct.pack("<d", 1.0)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (Table(["carat", "cut"], [[1.0, "Fair"], [1.0]]), "row 1: expected a list of 2 values, got 1 values"),
        (Table(["carat", "cut", "cut"], [[1.0, 2.0, 3.0]]), 'columns: expected every name once, got "cut" again$'),
        (
            Table(["carat", "x" * 1000, "x" * 1000], [[1.0, 2.0, 3.0]]),
            f'expected every name once, got "{"x" * 39}… again$',
        ),
        (Tensors([Tensor("cut", "FP64", (), raw=b"")] * 2), 'inputs: expected every name once, got "cut" again$'),
        (Named({"carat": [1.0, 2.0], "cut": ["Fair"]}), 'column "cut": expected 2 rows as in "carat", got 1'),
        (Named({"carat": 1.0, "cut": "Fair"}), 'column "carat": expected a list of values'),
        (Records([]), "expected 1 to 100 rows, got 0"),
        (Table(None, [[1.0, "Fair"]] * 101), "expected 1 to 100 rows, got 101"),
        (Tensors([Tensor("carat", "FP64", (), raw=b"")]), 'column "cut": expected a value, it is missing'),
    ],
)
def test_ragged_or_misshapen_requests_are_refused(payload: Payload, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        assembler(CARAT, CUT)(payload)


@pytest.mark.parametrize(
    ("tensor", "complaint"),
    [
        (Tensor("carat", "FP64", (2,), raw=b"\0" * 8), "expected 16 bytes for shape"),
        (Tensor("carat", "FP64", (1, 2), raw=b"\0" * 16), r"expected shape \[\] per row, got \[2\]"),
        (Tensor("carat", "BYTES", (1,), raw=bytes_tensor(["1"])), "expected datatype FP64, got BYTES"),
        (Tensor("carat", "FP99", (1,), raw=b""), 'expected a datatype such as FP32, got "FP99"'),
        (Tensor("carat", "FP64", (1,), raw=struct.pack("<d", float("nan"))), "row 0: expected a number, got nan"),
        (Tensor("carat", "FP64", (2,), values=[1.0, float("nan")]), "row 1: expected a number, got nan"),
        (Tensor("carat", "FP64", (2,), values=[1.0]), "expected 2 elements for shape"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tensor: Tensor, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        assembler(CARAT)(Tensors([tensor]))


def test_bytes_that_end_early_are_refused() -> None:
    broken = struct.pack("<I", 9) + b"Fair"

    with pytest.raises(InvalidInput, match="expected 9 bytes for element 0"):
        assembler(CUT)(Tensors([Tensor("cut", "BYTES", (1,), raw=broken)]))


def test_a_missing_number_is_nan_where_the_model_copes() -> None:
    assemble = assembler(column("x", nullable=True))

    for payload in (Records([{"x": None}]), Table(["x"], [[""]], is_text=True), Named({"x": [None] * 9})):
        assert np.isnan(assemble(payload).array()["c0"]).all()


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("more", [(), (CARAT,)])
def test_the_number_that_stands_for_a_missing_one_is_refused_raw_too(count: int, more: tuple[Column, ...]) -> None:
    raw = [Tensor("n", "INT64", (count,), struct.pack(f"<{count}q", *[-(2**31)] * count))]
    raw += [Tensor("carat", "FP64", (count,), bytes(8 * count)) for _ in more]

    with pytest.raises(InvalidInput, match='column "n", row 0: expected an integer'):
        assembler(column("n", Kind.INTEGER, "INT64", nullable=True), *more)(Tensors(raw))


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("beside", [0, 1.0])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_whole_number_keeps_its_digits_whatever_stands_beside_it(
    count: int, beside: float, shape: tuple[int, ...]
) -> None:
    number = 2**63 + 5
    assemble = assembler(column("n", Kind.INTEGER, "UINT64", shape=shape))
    values = [[number, beside] if shape else [number, beside][row % 2] for row in range(count)]
    tensor = Tensor("n", "UINT64", (count, *shape), None, values)

    for payload in (Named({"n": values}), Tensors([tensor])):
        assert assemble(payload).array()["c0"].reshape(-1)[0] == np.uint64(number)


def test_a_whole_number_makes_the_same_single_alone_and_among_many() -> None:
    number = 2**54 + 2**30 + 1
    assemble = assembler(column("x", datatype="FP32"))
    alone = assemble(Named({"x": [number]})).records
    raw = Tensors([Tensor("x", "INT64", (5,), struct.pack("<5q", *[number] * 5))])

    assert assemble(Named({"x": [number] * 5})).records == alone * 5
    assert assemble(raw).records == alone * 5


def test_a_double_is_rounded_to_a_single_and_a_too_large_one_refused() -> None:
    assemble = assembler(column("x", datatype="FP32"))

    assert assemble(Records([{"x": 0.1}])).records == struct.pack("<f", 0.1)
    for rows in (1, 9):
        with pytest.raises(InvalidInput, match="expected a number that fits FP32, got 1e\\+39"):
            assemble(Records([{"x": 1e39}] * rows))


@given(st.integers(1, 6))
def test_a_column_with_a_shape_takes_nested_lists(count: int) -> None:
    matrix = np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3)
    assemble = assembler(column("m", datatype="FP32", shape=(2, 3)))

    expected = matrix.tobytes()
    assert assemble(Named({"m": matrix.tolist()})).records == expected
    assert assemble(Table(None, matrix.tolist())).records == expected
    assert assemble(Tensors([Tensor("m", "FP32", (count, 2, 3), raw=expected)])).records == expected


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_nan_in_an_only_raw_column_is_refused_with_its_row(count: int, shape: tuple[int, ...]) -> None:
    values = np.ones((count, *shape), dtype=np.float32)
    values[-1] = np.nan
    payload = Tensors([Tensor("m", "FP32", (count, *shape), raw=values.tobytes())])

    with pytest.raises(InvalidInput, match=f'column "m", row {count - 1}: expected a number, got nan'):
        assembler(column("m", datatype="FP32", shape=shape))(payload)
    accepted = assembler(column("m", datatype="FP32", shape=shape, nullable=True))(payload)
    assert accepted.records == values.tobytes()


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ([[1, 2], [3]], r'column "m", row 1: expected a list of shape \[2, 2\]'),
        ([[1, 2], [3, True]], "row 1: expected a number, got true"),
        ([[1, 2], [3, "x"]], 'row 1: expected a number, got "x"'),
    ],
)
def test_nested_lists_that_do_not_fit_are_refused(value: Any, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        assembler(column("m", datatype="FP32", shape=(2, 2)))(Named({"m": [[[1, 2], [3, 4]], value]}))


def test_a_length_that_the_request_chooses_gives_a_layout_of_its_own() -> None:
    assemble = assembler(column("ids", Kind.INTEGER, "INT64", shape=(-1,)))
    three, four = (assemble(Named({"ids": [list(range(n))]})) for n in (3, 4))

    assert (three.layout.columns[0].shape, four.layout.columns[0].shape) == ((3,), (4,))
    assert three.layout is assemble(Named({"ids": [[7, 8, 9]]})).layout


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(allow_nan=False)), min_size=1, max_size=8), st.data())
def test_rows_cut_and_joined_are_the_same_rows(values: list[tuple[int, float]], data: st.DataObject) -> None:
    whole = assembler(CUT, CARAT, NOTE)(Table(None, [[LEVELS[code], x, f"n{x}"] for code, x in values]))
    at = data.draw(st.integers(0, len(values)))

    joined = Rows.join([whole.cut(0, at), whole.cut(at, len(values))])
    assert (joined.count, joined.records, joined.texts) == (whole.count, whole.records, whole.texts)
    assert joined.values(0) == [LEVELS[code] for code, _ in values]
    assert joined.values(1) == [x for _, x in values]


@pytest.mark.parametrize("rows", [[["a", "b"]], [["a", "b", "c"], ["d", "e", "f"]]])
def test_texts_of_an_open_length_stand_beside_another_column(rows: list[list[str]]) -> None:
    words = column("words", Kind.STRING, "BYTES", shape=(-1,))
    named = Named({"words": rows, "carat": [1.5] * len(rows)})

    assert assembler(words, CARAT)(named).values(0) == rows


def test_texts_with_two_open_lengths_are_refused() -> None:
    words = column("words", Kind.STRING, "BYTES", shape=(-1, -1))

    with pytest.raises(InvalidInput, match='column "words": texts with more than one open length'):
        assembler(words, CARAT)(Named({"words": [[["a"]]], "carat": [1.5]}))


def test_texts_of_an_open_length_of_which_no_row_has_any_are_none() -> None:
    words = column("words", Kind.STRING, "BYTES", shape=(0, -1))

    assert assembler(words)(Tensors([Tensor("words", "BYTES", (2, 0, 3), b"")])).texts == ([],)
