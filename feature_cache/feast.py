"""
Feast's Redis online store, byte for byte: a team with Feast changes nothing.

One hash per entity, shared by all feature views with the same keys. Its name is the serialized entity key (three
versions) with the project's name behind; a feature's field is four bytes of MurmurHash3 of ``view:feature``; the
event time stands under ``_ts:view``. Values are in ``feast_value``.

What the page *Online store format* in Feast's documentation says is long out of date; this follows the code of
feast 0.67, checked against bytes that it wrote (tests/feature_cache/golden).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feature_cache.encoding import check_value
from feature_cache.errors import BadEntity, BadValue, CorruptValue
from feature_cache.feast_value import read_timestamp, timestamp_bytes, value_reader, value_writer
from feature_cache.keys import KeyMaker, check_entities
from feature_cache.murmur3 import murmur3_32
from feature_cache.row import ABSENT, NOT_FOUND, Row, RowState
from feature_cache.schema import FeastSource, Feature, FeatureView, Value

__all__ = ["FeastCodec", "feast_key_maker", "feast_key_prefix"]

_TYPE = {"bytes": 1, "string": 2, "int32": 3, "int64": 4, "timestamp": 8}
_STRING = 2
_FLOATS = {"float64": ("Bd", 0x29), "float32": ("Bf", 0x35)}
"""A value of these types as the struct module sees it, and the tag that it begins with."""
_U32 = struct.Struct("<I")
_SECOND_US = 1_000_000


class FeastCodec:
    """Writes and reads the hash fields of one view; made once."""

    __slots__ = ("_lengths", "_packed", "_readers", "_tags", "_time_field", "_writers", "fields", "view")

    def __init__(self, view: FeatureView) -> None:
        source = _source(view)
        self.view = view
        self._time_field = f"_ts:{source.view}".encode()
        names = [f"{source.view}:{feature.name}".encode() for feature in view.features]
        self.fields = (*(_U32.pack(murmur3_32(name)) for name in names), self._time_field)
        """What to ask HMGET for."""
        self._readers = tuple(value_reader(feature.datatype) for feature in view.features)
        kinds = [_FLOATS.get(feature.type) for feature in view.features]
        self._packed = struct.Struct("<" + "".join(kind[0] for kind in kinds if kind)) if all(kinds) else None
        self._tags = tuple(kind[1] for kind in kinds if kind)
        self._lengths = [struct.calcsize("<" + kind[0]) for kind in kinds if kind]
        self._writers = tuple(value_writer(feature.datatype) for feature in view.features)

    def decode(self, found: Sequence[bytes | None]) -> Row:
        """The row of an answer to HMGET with ``fields``. Raises ``CorruptValue``; the caller adds the key."""
        time = found[-1]
        if time is None:
            return NOT_FOUND
        try:
            values = self._floats(found) or tuple(
                [read(raw) if raw else None for read, raw in zip(self._readers, found, strict=False)]
            )
        except (ValueError, struct.error):
            raise self._corrupt(found) from None
        try:
            event_time_us = read_timestamp(time)
        except ValueError:
            raise CorruptValue(f'view "{self.view.name}": not an event time') from None
        missing = 0
        if None in found:
            missing = sum(1 << place for place, raw in enumerate(found) if raw is None)
        return Row(RowState.FOUND, values, event_time_us, missing)

    def encode(self, values: Sequence[object], event_time_us: int) -> Mapping[bytes, bytes]:
        """Hash field → bytes, of one value per feature: None for null, ``ABSENT`` for none. Raises ``BadValue``."""
        fields = {self._time_field: timestamp_bytes(event_time_us)}
        for place, (feature, value) in enumerate(zip(self.view.features, values, strict=True)):
            if value is not ABSENT:
                fields[self.fields[place]] = b"" if value is None else self._written(place, feature, value)
        return fields

    def _written(self, place: int, feature: Feature, value: object) -> bytes:
        try:
            return self._writers[place](check_value(self.view, feature, value))
        except ValueError as error:
            raise BadValue(f'view "{self.view.name}", feature "{feature.name}": {error}') from None

    def _floats(self, found: Sequence[bytes | None]) -> tuple[Value, ...]:
        """The values of a view of floating point numbers alone, as training features often are, in one go."""
        if self._packed is None:
            return ()
        parts = found[:-1]
        try:
            if [*map(len, parts)] != self._lengths:  # type: ignore[arg-type]
                return ()
        except TypeError:  # one of them is not there
            return ()
        flat = self._packed.unpack(b"".join(parts))  # type: ignore[arg-type]
        return flat[1::2] if flat[::2] == self._tags else ()

    def _corrupt(self, found: Sequence[bytes | None]) -> CorruptValue:
        """Names the first feature that cannot be read."""
        for feature, read, raw in zip(self.view.features, self._readers, found, strict=False):
            try:
                if raw:
                    read(raw)
            except (ValueError, struct.error):
                return CorruptValue(f'view "{self.view.name}", feature "{feature.name}": not a {feature.type}')
        raise AssertionError("a row that could not be read can be read")


def feast_key_prefix(view: FeatureView) -> bytes:
    """What all keys begin with that have these join keys, of whatever project: the project comes last in a key."""
    source = _source(view)
    names = sorted(entity.name for entity in view.entities)
    start = _U32.pack(len(names)) if source.entity_key_version == 3 and source.counts_keys else b""
    for name in names:
        raw = name.encode()
        start += _U32.pack(_STRING) + (_U32.pack(len(raw)) if source.entity_key_version == 3 else b"") + raw
    return start


def feast_key_maker(view: FeatureView) -> KeyMaker:
    """Compiled once per view."""
    source = _source(view)
    start, project = feast_key_prefix(view), source.project.encode()
    order = sorted(range(len(view.entities)), key=lambda place: view.entities[place].name)
    parts = [(place, _part(view, place, source)) for place in order]
    if len(view.entities) == 1 and view.entities[0].type == "int64" and source.entity_key_version > 1:
        return _one_int64(view, start, project)

    def make(entity: Sequence[object]) -> bytes:
        values = check_entities(view, entity)
        return b"%b%b%b" % (start, b"".join([part(values[place]) for place, part in parts]), project)

    return make


def _one_int64(view: FeatureView, start: bytes, project: bytes) -> KeyMaker:
    pack = struct.Struct("<IIq").pack

    def make(entity: Sequence[object]) -> bytes:
        # Most views look like this, and every row passes here.
        if len(entity) == 1 and type(value := entity[0]) is int and -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
            return start + pack(4, 8, value) + project
        return start + pack(4, 8, check_entities(view, entity)[0]) + project

    return make


def _part(view: FeatureView, place: int, source: FeastSource) -> Callable[[Any], bytes]:
    kind = view.entities[place].type
    if kind in ("string", "bytes"):

        def text(value: str | bytes) -> bytes:
            data = value.encode() if isinstance(value, str) else value
            return b"%b%b%b" % (_U32.pack(_TYPE[kind]), _U32.pack(len(data)), data)

        return text
    is_narrow = kind == "int32" or (kind == "int64" and source.entity_key_version == 1)
    pack = struct.Struct("<IIi" if is_narrow else "<IIq").pack
    size = 4 if is_narrow else 8

    def number(value: int) -> bytes:
        try:
            return pack(_TYPE[kind], size, _in_seconds(value) if kind == "timestamp" else value)
        except (struct.error, ValueError):
            expected = (
                "a time in whole seconds" if kind == "timestamp" else "32 bits, which is all that version 1 holds"
            )
            raise BadEntity(f'view "{view.name}", entity "{view.entities[place].name}": expected {expected}') from None

    return number


def _in_seconds(time_us: int) -> int:
    seconds, rest = divmod(time_us, _SECOND_US)
    if rest:
        raise ValueError("between two seconds")
    return seconds


def _source(view: FeatureView) -> FeastSource:
    if view.feast is None:
        raise ValueError(f'view "{view.name}": expected format: feast')
    return view.feast
