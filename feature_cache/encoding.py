"""
Our own layout of a row: one Redis string per entity and view.

A string and not a hash, because a row is always read whole: one bulk string costs the reader a tenth of what ten hash
fields cost, and is a third of the memory. Big-endian:

    u8   version (1)
    u8   flags: bit 0, gaps follow
    i64  event time, microseconds since 1970 UTC
    ...  each feature in the view's order: its value if the type has a fixed size, else u32 length in bytes
    ...  gaps, if flagged: two bits per feature (0 value, 1 null, 2 missing), the first feature in the lowest bits,
         in as few bytes as hold them
    ...  the bytes of the features without a fixed size, one after the other; a list is its elements one after the
         other, strings and bytes in a list each with a u32 length before
    u32  CRC-32 of all before, little-endian

So null, NaN and empty are told apart, a row that was cut, mixed up or overwritten is refused, and a script in the
store can compare event times as two 32-bit numbers at offset 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from feature_cache.datatype import DataType, datatype
from feature_cache.errors import BadValue, CorruptValue
from feature_cache.row import ABSENT, Row, RowState
from feature_cache.schema import Feature, FeatureView, Value

__all__ = ["EVENT_TIME_OFFSET", "VERSION", "RowCodec"]

VERSION = 1
EVENT_TIME_OFFSET = 2
"""Where the eight bytes of the event time begin."""

_HAS_GAPS = 1
_HEADER = 3  # version, flags, event time
# CRC-32 of any bytes followed by their own CRC-32: one call checks the whole.
_RESIDUE = 0x2144DF1C
_NULL, _MISSING = 1, 2
_U32 = struct.Struct(">I")

_Read = Callable[[bytes], Value]
_Write = Callable[[Any], bytes]


class RowCodec:
    """Writes and reads rows of one view; made once."""

    __slots__ = ("_fixed", "_fixed_only", "_gap_bytes", "_names", "_struct", "_varying", "view")

    def __init__(self, view: FeatureView) -> None:
        self.view = view
        self._names = frozenset(feature.name for feature in view.features)
        codes = [feature.datatype.code or "I" for feature in view.features]
        self._struct = struct.Struct(">BBq" + "".join(codes))
        self._fixed_only = self._struct.size + 4 if all(each.datatype.code for each in view.features) else -1
        self._gap_bytes = (2 * len(view.features) + 7) // 8
        self._fixed = tuple(False if code == "?" else 0 for code in codes)
        self._varying: tuple[tuple[int, Feature, _Read, _Write], ...] = tuple(
            (place, feature, *_varying(feature.datatype))
            for place, feature in enumerate(view.features)
            if not feature.datatype.code
        )

    def encode_named(self, values: Mapping[str, object], event_time_us: int) -> bytes:
        """Like ``encode``; a feature that is not in ``values`` is missing."""
        if unknown := values.keys() - self._names:
            raise BadValue(f'view "{self.view.name}": no feature named {", ".join(sorted(map(repr, unknown)))}')
        return self.encode([values.get(feature.name, ABSENT) for feature in self.view.features], event_time_us)

    def encode(self, values: Sequence[object], event_time_us: int) -> bytes:
        """A row: one value per feature in the view's order, None for null, ``ABSENT`` for none. Raises ``BadValue``."""
        if len(values) != len(self.view.features):
            raise BadValue(f'view "{self.view.name}": expected {len(self.view.features)} values, got {len(values)}')
        head: list[Any] = list(self._fixed)
        gaps = 0
        for place, (feature, value) in enumerate(zip(self.view.features, values, strict=True)):
            if value is None or value is ABSENT:
                gaps |= (_NULL if value is None else _MISSING) << (2 * place)
                continue
            head[place] = check_value(self.view, feature, value)
        tail: list[bytes] = []
        for place, _, _, write in self._varying:
            if not gaps >> (2 * place) & 3:
                data = write(head[place])
                head[place] = len(data)
                tail.append(data)
        if gaps:
            tail.insert(0, gaps.to_bytes(self._gap_bytes, "little"))
        body = self._struct.pack(VERSION, _HAS_GAPS if gaps else 0, event_time_us, *head) + b"".join(tail)
        return body + crc32(body).to_bytes(4, "little")

    def decode(self, raw: bytes) -> Row:
        """The row. Raises ``CorruptValue``, whose text names view and feature; the caller adds the key."""
        if crc32(raw) != _RESIDUE:
            raise self._corrupt("checksum does not match" if raw[:1] == bytes([VERSION]) else "not a row of this view")
        if raw[0] != VERSION:
            raise self._corrupt(f"layout version {raw[0]}, expected {VERSION}")
        if len(raw) == self._fixed_only and not raw[1]:
            head = self._struct.unpack_from(raw)
            return Row(RowState.FOUND, head[_HEADER:], head[2])
        return self._decode_any(raw)

    def _decode_any(self, raw: bytes) -> Row:
        size = self._struct.size
        if len(raw) < size + 4:
            raise self._corrupt("too short")
        _, flags, event_time_us, *values = self._struct.unpack_from(raw)
        at, gaps, missing = size, 0, 0
        if flags == _HAS_GAPS:
            at += self._gap_bytes
            gaps = int.from_bytes(raw[size:at], "little")
        elif flags:
            raise self._corrupt(f"unknown flags {flags}")
        for place, feature, read, _ in self._varying:
            end = at + values[place]
            if end > len(raw) - 4:
                raise self._corrupt("too long", feature)
            try:
                values[place] = read(raw[at:end])
            except (ValueError, struct.error):
                raise self._corrupt(f"not a {feature.type}", feature) from None
            at = end
        if at != len(raw) - 4:
            raise self._corrupt("wrong length")
        if gaps:
            for place in range(len(values)):
                gap = gaps >> (2 * place) & 3
                if gap:
                    values[place] = None
                    missing |= (gap == _MISSING) << place
        return Row(RowState.FOUND, tuple(values), event_time_us, missing)

    def _corrupt(self, what: str, feature: Feature | None = None) -> CorruptValue:
        where = f'view "{self.view.name}"' + (f', feature "{feature.name}"' if feature else "")
        return CorruptValue(f"{where}: {what}")


def check_value(view: FeatureView, feature: Feature, value: object) -> Any:
    """The value as the feature's type holds it. Raises ``BadValue``."""
    try:
        return feature.datatype.check(value)
    except (TypeError, ValueError) as error:
        raise BadValue(f'view "{view.name}", feature "{feature.name}": {error}') from None


def _varying(kind: DataType) -> tuple[_Read, _Write]:
    if not kind.is_list:
        return (bytes.decode, str.encode) if kind.name == "string" else (bytes, bytes)
    element = datatype(kind.element)
    if element.code:
        return _fixed_list(element.code)
    return _text_list(*_varying(element))


def _fixed_list(code: str) -> tuple[_Read, _Write]:
    size = struct.calcsize(">" + code)

    def read(data: bytes) -> Value:
        return list(struct.unpack(f">{len(data) // size}{code}", data))

    def write(values: Sequence[Any]) -> bytes:
        return struct.pack(f">{len(values)}{code}", *values)

    return read, write


def _text_list(read_one: _Read, write_one: _Write) -> tuple[_Read, _Write]:
    def read(data: bytes) -> Value:
        found, at = [], 0
        while at < len(data):
            (length,) = _U32.unpack_from(data, at)
            at += 4
            if at + length > len(data):
                raise ValueError("cut")
            found.append(read_one(data[at : at + length]))
            at += length
        return found

    def write(values: Sequence[Any]) -> bytes:
        parts = [write_one(value) for value in values]
        return b"".join([b"%b%b" % (_U32.pack(len(part)), part) for part in parts])

    return read, write
