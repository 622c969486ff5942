"""
Feast's ``feast.types.Value`` and ``google.protobuf.Timestamp`` as bytes, without Feast and without a protobuf library.

A value is one field of a oneof, and its number says the type. Reading by hand costs a quarter of what a message object
costs, and fits in this file. A null value is an empty message. Feast keeps timestamps as whole seconds.

Declared types are checked against the stored field; only what loses nothing is widened: float to float64, int32 to
int64.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from feature_cache.datatype import DataType
from feature_cache.schema import Value

__all__ = ["read_timestamp", "timestamp_bytes", "value_reader", "value_writer"]

_FIELD = {"bytes": 1, "string": 2, "int32": 3, "int64": 4, "float64": 5, "float32": 6, "bool": 7, "timestamp": 8}
_LIST_OFFSET = 10  # the list of the type of field n is field n + 10
_NULL_FIELD = 19
_WIDENED = {"int64": "int32", "float64": "float32"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE = {"float64": _FIXED64, "float32": _FIXED32, "string": _BYTES, "bytes": _BYTES}
_SECOND_US = 1_000_000
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")


def value_reader(kind: DataType) -> Callable[[bytes], Value]:
    """Reads a stored value; raises ``ValueError`` when it is not one of this type."""
    readers: dict[int, Callable[[Any], Value]] = {_NULL_FIELD: lambda _: None}
    for element in (kind.element, _WIDENED.get(kind.element)):
        if element and not kind.is_list:
            readers[_FIELD[element]] = _READERS[element]
        elif element:
            readers[_FIELD[element] + _LIST_OFFSET] = _list_reader(element)

    def read(raw: bytes) -> Value:
        value: Value = None
        for field, wire, content in _fields(raw):
            reader = readers.get(field)
            if reader is None or (field < _LIST_OFFSET and wire != _wire_of(field)):
                raise ValueError(f"not a {kind.name}")
            value = reader(content)
        return value

    return _quick(kind, read)


def value_writer(kind: DataType) -> Callable[[Any], bytes]:
    """Writes a checked value as Feast does. Raises ``ValueError`` for a time between two seconds."""
    field = _FIELD[kind.element]
    write = _WRITERS[kind.element]
    if not kind.is_list:
        tag = _varint(field << 3 | _WIRE.get(kind.element, _VARINT))
        sized = kind.element in ("string", "bytes")

        def write_one(value: Any) -> bytes:
            content = write(value)
            return tag + (_varint(len(content)) + content if sized else content)

        return write_one
    outer = _varint((field + _LIST_OFFSET) << 3 | _BYTES)

    def write_list(values: Sequence[Any]) -> bytes:
        parts = [write(value) for value in values]
        if kind.element in ("string", "bytes"):
            inner = b"".join([b"\x0a" + _varint(len(part)) + part for part in parts])
        else:
            packed = b"".join(parts)
            inner = b"\x0a" + _varint(len(packed)) + packed if packed else b""
        return outer + _varint(len(inner)) + inner

    return write_list


def read_timestamp(raw: bytes) -> int:
    """Microseconds since 1970. Raises ``ValueError``."""
    quick = _quick_timestamp(raw)
    if quick is not None:
        return quick
    seconds = nanos = 0
    for field, wire, content in _fields(raw):
        if wire != _VARINT or field not in (1, 2):
            raise ValueError("not a timestamp")
        if field == 1:
            seconds = _signed(content)
        else:
            nanos = _signed(content)
    return seconds * _SECOND_US + nanos // 1000


def timestamp_bytes(time_us: int) -> bytes:
    """As ``google.protobuf.Timestamp``."""
    seconds, rest = divmod(time_us, _SECOND_US)
    raw = b"\x08" + _varint(seconds) if seconds else b""
    return raw + b"\x10" + _varint(rest * 1000) if rest else raw


def _quick_timestamp(raw: bytes) -> int | None:
    """Seconds from 1978 to 3058, which take five bytes, and nanoseconds if there are any."""
    if len(raw) < 6 or raw[0] != 8 or raw[5] > 0x7F or raw[-1] > 0x7F:
        return None
    a, b, c, d, e = raw[1:6]
    if not a & b & c & d & 0x80:
        return None
    time_us = (a & 0x7F | (b & 0x7F) << 7 | (c & 0x7F) << 14 | (d & 0x7F) << 21 | e << 28) * _SECOND_US
    if len(raw) == 6:
        return time_us
    if raw[6] != 0x10 or not 8 <= len(raw) <= 12:
        return None
    nanos = shift = 0
    for byte in raw[7:-1]:
        if byte < 0x80:
            return None
        nanos |= (byte & 0x7F) << shift
        shift += 7
    return time_us + (nanos | raw[-1] << shift) // 1000


def _quick(kind: DataType, read: Callable[[bytes], Value]) -> Callable[[bytes], Value]:
    """The common case of the commonest types without the general reader: most of the time of a row goes here."""
    if kind.name in ("float64", "float32"):
        return _quick_float(kind, read)
    if kind.name == "string":
        return _quick_string(read)
    if kind.name in ("int64", "int32"):
        return _quick_integer(kind, read)
    return read


def _quick_float(kind: DataType, read: Callable[[bytes], Value]) -> Callable[[bytes], Value]:
    size, unpack_from = (9, _DOUBLE.unpack_from) if kind.name == "float64" else (5, _FLOAT.unpack_from)
    tag = _FIELD[kind.name] << 3 | _WIRE[kind.name]

    def read_float(raw: bytes) -> Value:
        if len(raw) == size and raw[0] == tag:
            return unpack_from(raw, 1)[0]
        return read(raw)

    return read_float


def _quick_string(read: Callable[[bytes], Value]) -> Callable[[bytes], Value]:
    def read_string(raw: bytes) -> Value:
        if raw[0] == 0x12 and 1 < len(raw) < 0x82 and raw[1] == len(raw) - 2:
            return raw[2:].decode()
        return read(raw)

    return read_string


def _quick_integer(kind: DataType, read: Callable[[bytes], Value]) -> Callable[[bytes], Value]:
    tag = _FIELD[kind.name] << 3

    def read_integer(raw: bytes) -> Value:
        if raw[0] != tag or not 1 < len(raw) <= 5 or raw[-1] > 0x7F:
            return read(raw)
        value = shift = 0
        for byte in raw[1:-1]:
            if byte < 0x80:
                return read(raw)
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | raw[-1] << shift

    return read_integer


def _fields(raw: bytes) -> list[tuple[int, int, Any]]:
    """Field number, wire type and content (int or bytes) of each field of a message."""
    found: list[tuple[int, int, Any]] = []
    at, end = 0, len(raw)
    while at < end:
        tag, at = _read_varint(raw, at)
        wire = tag & 7
        content: int | bytes
        if wire == _VARINT:
            content, at = _read_varint(raw, at)
        else:
            if wire == _BYTES:
                size, at = _read_varint(raw, at)
            elif wire in (_FIXED32, _FIXED64):
                size = 4 if wire == _FIXED32 else 8
            else:
                raise ValueError("not a message")
            content = raw[at : at + size]
            at += size
            if at > end:
                raise ValueError("cut")
        found.append((tag >> 3, wire, content))
    return found


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise ValueError("cut")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _int32(value: int) -> int:
    number = _signed(value)
    if not -0x80000000 <= number <= 0x7FFFFFFF:
        raise ValueError("not an int32")
    return number


def _wire_of(field: int) -> int:
    return {1: _BYTES, 2: _BYTES, 5: _FIXED64, 6: _FIXED32}.get(field, _VARINT)


def _list_reader(element: str) -> Callable[[bytes], Value]:
    read = _READERS[element]
    expected = _WIRE.get(element, _VARINT)
    size = {_FIXED64: 8, _FIXED32: 4}.get(expected, 0)

    def read_list(content: bytes) -> Value:
        found: list[Value] = []
        for field, wire, part in _fields(content):
            if field != 1:
                raise ValueError("not a list")
            if wire == expected:  # text and bytes; of numbers one that is not packed
                found.append(read(part))
            elif wire == _BYTES and size:
                if len(part) % size:
                    raise ValueError("cut")
                found += struct.unpack(f"<{len(part) // size}{'d' if size == 8 else 'f'}", part)
            elif wire == _BYTES:
                at = 0
                while at < len(part):
                    number, at = _read_varint(part, at)
                    found.append(read(number))
            else:
                raise ValueError("not a list of this type")
        return found

    return read_list


def _whole_seconds(time_us: int) -> bytes:
    seconds, rest = divmod(time_us, _SECOND_US)
    if rest:
        raise ValueError("expected a time in whole seconds, which is all that Feast can hold")
    return _varint(seconds)


_READERS: dict[str, Callable[[Any], Value]] = {
    "bytes": bytes,
    "string": bytes.decode,
    "int32": _int32,
    "int64": _signed,
    "float64": lambda content: _DOUBLE.unpack(content)[0],
    "float32": lambda content: _FLOAT.unpack(content)[0],
    "bool": bool,
    "timestamp": lambda content: _signed(content) * _SECOND_US,
}
_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "bytes": bytes,
    "string": str.encode,
    "int32": _varint,
    "int64": _varint,
    "float64": _DOUBLE.pack,
    "float32": _FLOAT.pack,
    "bool": _varint,
    "timestamp": _whole_seconds,
}
