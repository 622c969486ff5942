from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_cache.datatype import FEATURE_TYPES, datatype
from feature_cache.encoding import EVENT_TIME_OFFSET, RowCodec
from feature_cache.errors import BadValue, CorruptValue
from feature_cache.row import ABSENT, RowState
from feature_cache.schema import FeatureView
from tests.support.feature_views import TIME_US, make_view
from tests.support.unhurried import unhurried

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "float64": st.floats(),
    "float32": st.floats(width=32),
    "bool": st.booleans(),
    "string": TEXT,
    "bytes": st.binary(),
    "timestamp": st.integers(-(2**63), 2**63 - 1),
}
VALUES = SCALARS | {f"list[{kind}]": st.lists(values, max_size=5) for kind, values in SCALARS.items()}


@st.composite
def rows(draw: st.DrawFn, seconds_only: bool = False) -> tuple[dict[str, str], list[Any]]:
    types = draw(st.lists(st.sampled_from(FEATURE_TYPES), min_size=1, max_size=9))
    values = [draw(st.one_of(st.none(), st.just(ABSENT), VALUES[kind], VALUES[kind])) for kind in types]
    if seconds_only:
        values = [
            _in_whole_seconds(value) if datatype(kind).element == "timestamp" else value
            for kind, value in zip(types, values, strict=True)
        ]
    return {f"f{place}": kind for place, kind in enumerate(types)}, values


def _in_whole_seconds(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_whole_seconds(item) for item in value]
    # Towards zero: rounded down the least of them would have more than 64 bits.
    if not isinstance(value, int):
        return value
    return value // 1_000_000 * 1_000_000 if value >= 0 else -(-value // 1_000_000 * 1_000_000)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and one == other


def codec(**features: str) -> RowCodec:
    return RowCodec(make_view(features))


@unhurried
@given(rows(), st.integers(-(2**63), 2**63 - 1))
def test_a_row_comes_back_as_it_was_written(drawn: tuple[dict[str, str], list[Any]], time_us: int) -> None:
    types, values = drawn
    row = RowCodec(make_view(types)).decode(RowCodec(make_view(types)).encode(values, time_us))

    assert row.state is RowState.FOUND
    assert row.event_time_us == time_us
    assert same(list(row.values), [None if value is ABSENT else value for value in values])
    assert [place for place in range(len(values)) if row.missing >> place & 1] == [
        place for place, value in enumerate(values) if value is ABSENT
    ]


def test_null_nan_empty_and_missing_are_four_things() -> None:
    c = codec(a="float64", b="float64", c="string", d="string", e="list[int64]")
    row = c.decode(c.encode([None, math.nan, "", ABSENT, []], TIME_US))

    assert row.values[0] is None
    assert math.isnan(row.values[1])  # type: ignore[arg-type]
    assert row.values[2:] == ("", None, [])
    assert row.missing == 0b01000


@unhurried
@given(rows(), st.data())
def test_a_row_of_which_any_bit_is_turned_is_refused(
    drawn: tuple[dict[str, str], list[Any]], data: st.DataObject
) -> None:
    types, values = drawn
    c = RowCodec(make_view(types))
    raw = bytearray(c.encode(values, TIME_US))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(CorruptValue, match='view "driver"'):
        c.decode(bytes(raw))


@unhurried
@given(rows(), st.binary(max_size=60))
def test_whatever_is_stored_with_a_right_checksum_is_a_row_or_refused(
    drawn: tuple[dict[str, str], list[Any]], body: bytes
) -> None:
    c = RowCodec(make_view(drawn[0]))
    raw = b"\x01" + body

    try:
        row = c.decode(raw + crc32(raw).to_bytes(4, "little"))
    except CorruptValue:
        return
    assert len(row.values) == len(drawn[0])


@unhurried
@given(rows(), st.data())
def test_a_row_that_was_cut_is_refused(drawn: tuple[dict[str, str], list[Any]], data: st.DataObject) -> None:
    types, values = drawn
    c = RowCodec(make_view(types))
    raw = c.encode(values, TIME_US)

    with pytest.raises(CorruptValue):
        c.decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_text_that_is_no_utf8_is_refused_by_feature() -> None:
    raw = codec(a="int64", name="bytes").encode([1, b"\xff"], TIME_US)

    with pytest.raises(CorruptValue, match='view "driver", feature "name": not a string'):
        codec(a="int64", name="string").decode(raw)


def test_a_newer_layout_is_refused_by_its_version() -> None:
    raw = b"\x02" + codec(a="int64").encode([1], TIME_US)[1:-4]

    with pytest.raises(CorruptValue, match="layout version 2, expected 1"):
        codec(a="int64").decode(raw + crc32(raw).to_bytes(4, "little"))


def test_the_event_time_stands_where_a_script_finds_it() -> None:
    raw = codec(a="int64").encode([1], -5)

    assert int.from_bytes(raw[EVENT_TIME_OFFSET : EVENT_TIME_OFFSET + 8], "big", signed=True) == -5


def test_ten_numbers_take_94_bytes() -> None:
    view = make_view({f"f{place}": "float64" for place in range(10)})

    assert len(RowCodec(view).encode([0.5] * 10, TIME_US)) == 94


def test_values_by_name_may_be_left_out() -> None:
    c = codec(a="int64", b="int64")

    assert c.decode(c.encode_named({"b": 2}, TIME_US)).missing == 0b01


def test_a_name_that_is_no_feature_is_refused() -> None:
    with pytest.raises(BadValue, match="view \"driver\": no feature named 'c'"):
        codec(a="int64").encode_named({"a": 1, "c": 2}, TIME_US)


@pytest.mark.parametrize(
    ("kind", "value", "complaint"),
    [
        ("int64", 1.0, "expected a whole number, got float"),
        ("int64", True, "expected a whole number, got bool"),
        ("int64", 2**63, "expected a whole number of 64 bits"),
        ("int32", 2**31, "expected a whole number of 32 bits"),
        ("float64", 2**53 + 1, "holds exactly"),
        ("float64", "1.5", "expected a number, got str"),
        ("float32", 1e39, "32-bit floating point can hold"),
        ("bool", 1, "expected true or false, got int"),
        ("string", b"a", "expected text, got bytes"),
        ("string", "\ud800", "without lone surrogates"),
        ("bytes", "a", "expected bytes, got str"),
        ("timestamp", datetime(2024, 1, 1), "with a time zone"),  # noqa: DTZ001 — that is the point
        ("list[int64]", [1, None], "expected a whole number, got null"),
        ("list[int64]", 1, "expected a list, got int"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_feature(kind: str, value: object, complaint: str) -> None:
    with pytest.raises(BadValue, match=f'view "driver", feature "a": .*{complaint}'):
        codec(a=kind).encode([value], TIME_US)


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        ("int64", np.int32(7), 7),
        ("float64", np.float32(0.5), 0.5),
        ("float64", 7, 7.0),
        ("bool", np.bool_(True), True),
        ("bytes", bytearray(b"a"), b"a"),
        ("timestamp", datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC), 1_000_005),
        ("list[float64]", np.array([0.5, 1.0]), [0.5, 1.0]),
        ("list[int64]", (1, 2), [1, 2]),
    ],
)
def test_what_numpy_and_datetime_hold_is_taken(kind: str, value: object, held: object) -> None:
    c = codec(a=kind)

    assert same(c.decode(c.encode([value], TIME_US)).values[0], held)


def test_too_few_values_are_refused() -> None:
    view: FeatureView = make_view({"a": "int64", "b": "int64"})

    with pytest.raises(BadValue, match="expected 2 values, got 1"):
        RowCodec(view).encode([1], TIME_US)
