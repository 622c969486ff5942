"""Against bytes that the real ``feast`` package wrote; see golden/make.py for how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_cache.datatype import datatype
from feature_cache.errors import BadEntity, BadValue, CorruptValue
from feature_cache.feast import FeastCodec, feast_key_maker, feast_key_prefix
from feature_cache.row import ABSENT, NOT_FOUND, RowState
from feature_cache.schema import Entity, FeastSource, FeatureView
from tests.feature_cache.test_encoding import rows, same
from tests.support.feature_views import TIME_US, feast_view
from tests.support.unhurried import unhurried

GOLDEN = json.loads((Path(__file__).parent / "golden" / "feast.json").read_text())
KEYS = [
    pytest.param(key["entities"], int(version), raw, id=f"{key['name']}, version {version}")
    for key in GOLDEN["keys"]
    for version, raw in key["versions"].items()
]
VALUES = [pytest.param(each["type"], each["value"], each["bytes"], id=each["name"]) for each in GOLDEN["values"]]


def ours(kind: str, value: Any) -> Any:
    """A value of the file as we hold it: it has bytes as hexadecimal digits, and times in seconds."""
    if isinstance(value, list):
        return [ours(datatype(kind).element, item) for item in value]
    if value is None or value == "NULL":
        return None
    if kind == "bytes":
        return bytes.fromhex(value)
    return value * 1_000_000 if kind == "timestamp" else value


def keyed(entities: list[tuple[str, str, Any]], version: int) -> FeatureView:
    # Names that are not ASCII are none for us; their bytes are checked all the same.
    view = feast_view(entities={f"e{place}": kind for place, (_, kind, _) in enumerate(entities)}, version=version)
    for entity, (name, _, _) in zip(view.entities, entities, strict=True):
        _rename(entity, name)
    return view


def _rename(entity: Entity, name: str) -> None:
    Entity.name.__set__(entity, name)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("entities", "version", "raw"), KEYS)
def test_a_key_is_byte_for_byte_feasts(entities: list[tuple[str, str, Any]], version: int, raw: str | None) -> None:
    key = feast_key_maker(keyed(entities, version))
    entity = [ours(kind, value) for _, kind, value in entities]
    if raw is None:
        with pytest.raises(BadEntity, match="32 bits"):
            key(entity)
        return

    assert key(entity).hex() == raw


@pytest.mark.parametrize(("kind", "value", "raw"), VALUES)
def test_a_value_that_feast_wrote_is_read(kind: str, value: Any, raw: str) -> None:
    codec = FeastCodec(feast_view({"a": kind}))
    row = codec.decode([bytes.fromhex(raw), b""])

    assert same(row.values[0], ours(kind, value))


@pytest.mark.parametrize(("kind", "value", "raw"), [each for each in VALUES if each.id != "null said"])
def test_a_value_is_written_as_feast_does(kind: str, value: Any, raw: str) -> None:
    codec = FeastCodec(feast_view({"a": kind}))

    assert codec.encode([ours(kind, value)], TIME_US)[codec.fields[0]].hex() == raw


ROW_TYPES = {
    "conv_rate": "float64",
    "acc_rate": "float32",
    "avg_daily_trips": "int64",
    "name": "string",
    "last_seen": "timestamp",
    "vip": "bool",
    "new_feature": "int64",
}


def test_a_hash_that_feast_wrote_is_read_whole() -> None:
    codec = FeastCodec(feast_view(ROW_TYPES))
    fields = GOLDEN["row"]["fields"]
    row = codec.decode([bytes.fromhex(raw) if (raw := fields.get(f.hex())) is not None else None for f in codec.fields])

    assert row.values == (0.25, 0.5, 2**53 + 1, "Zoë", 1_700_000_000_000_000, None, None)
    assert row.event_time_us == GOLDEN["time_us"]
    assert row.missing == 0b1000000


def test_a_hash_is_written_as_feast_does() -> None:
    codec = FeastCodec(feast_view(ROW_TYPES))
    values = [0.25, 0.5, 2**53 + 1, "Zoë", 1_700_000_000_000_000, None, ABSENT]
    written = codec.encode(values, GOLDEN["time_us"])

    assert {field.hex(): raw.hex() for field, raw in written.items()} == GOLDEN["row"]["fields"]


@unhurried
@given(rows(seconds_only=True))
def test_a_row_comes_back_as_it_was_written(drawn: tuple[dict[str, str], list[Any]]) -> None:
    types, values = drawn
    codec = FeastCodec(feast_view(types))
    written = codec.encode(values, TIME_US + 7)
    row = codec.decode([written.get(field) for field in codec.fields])

    assert row.event_time_us == TIME_US + 7
    assert same(list(row.values), [None if value is ABSENT else value for value in values])
    assert row.missing == sum(1 << place for place, value in enumerate(values) if value is ABSENT)


@unhurried
@given(st.sampled_from([each["type"] for each in GOLDEN["values"]]), st.binary(min_size=1))
def test_whatever_is_stored_is_a_value_or_refused(kind: str, raw: bytes) -> None:
    codec = FeastCodec(feast_view({"a": kind}))

    try:
        row = codec.decode([raw, b""])
    except CorruptValue as error:
        assert str(error) == f'view "driver", feature "a": not a {kind}'  # noqa: PT017 — either is right
        return
    assert row.state is RowState.FOUND


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("float64", "12026869"),
        ("string", "2007"),
        ("int32", "2007"),
        ("float32", "29000000000000e03f"),
        ("bool", "2001"),
    ],
)
def test_a_value_of_another_type_is_refused_by_feature(kind: str, raw: str) -> None:
    codec = FeastCodec(feast_view({"ok": "int64", "a": kind}))

    with pytest.raises(CorruptValue, match=f'view "driver", feature "a": not a {kind}'):
        codec.decode([b"\x20\x07", bytes.fromhex(raw), b""])


@pytest.mark.parametrize("raw", ["31000000000000e03f", "280807060504038002", "29000000000000e0"])
def test_in_a_view_of_floats_alone_another_field_is_refused_too(raw: str) -> None:
    codec = FeastCodec(feast_view({"a": "float64", "b": "float64"}))
    good = codec.encode([0.5, 0.5], TIME_US)[codec.fields[0]]

    with pytest.raises(CorruptValue, match='feature "b": not a float64'):
        codec.decode([good, bytes.fromhex(raw), b""])


@pytest.mark.parametrize(("kind", "raw", "value"), [("float64", "350000003f", 0.5), ("int64", "1807", 7)])
def test_what_loses_nothing_is_widened(kind: str, raw: str, value: object) -> None:
    assert same(FeastCodec(feast_view({"a": kind})).decode([bytes.fromhex(raw), b""]).values[0], value)


def test_an_event_time_that_is_none_is_refused() -> None:
    with pytest.raises(CorruptValue, match='view "driver": not an event time'):
        FeastCodec(feast_view()).decode([b"", b"\xff"])


def test_a_hash_without_the_views_event_time_holds_nothing_of_it() -> None:
    assert FeastCodec(feast_view()).decode([bytes.fromhex("29000000000000e03f"), None]) is NOT_FOUND


def test_a_time_between_two_seconds_cannot_be_written() -> None:
    with pytest.raises(BadValue, match='feature "a": expected a time in whole seconds'):
        FeastCodec(feast_view({"a": "timestamp"})).encode([1_500_000], TIME_US)


def test_keys_of_early_version_3_do_not_begin_with_their_number() -> None:
    source = FeastSource(project="p", view="v", counts_keys=False)
    view = FeatureView(
        name="v", entities=(Entity(name="id"),), features=feast_view().features, format="feast", feast=source
    )

    assert feast_key_prefix(view).hex() == "02000000" + "02000000" + b"id".hex()
