"""
Protobuf's wire form, as far as we put messages together or take them apart ourselves.

A message is a row of records, each a tag (field number and form) and a value. Messages set one after the other are one
message with the records of all, and a record may stand anywhere among those of other fields: that is what lets bytes
made once be joined with bytes of one request.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["head", "record", "records", "varint"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def varint(number: int) -> bytes:
    """A number of 0 or more, seven bits to a byte."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def head(field: int, size: int) -> bytes:
    """What precedes ``size`` bytes of a string, of bytes or of a message within a message; fields below 16 only."""
    return bytes((field << 3 | _BYTES,)) + varint(size)


def record(field: int, value: bytes) -> bytes:
    """A string, bytes, or a message within a message."""
    return head(field, len(value)) + value


def records(message: bytes) -> Iterator[tuple[int, int, int]]:
    """
    Field, start and stop of everything that ``record`` could have written, in order.

    Other records are passed over. Only for what protobuf has parsed: nothing is checked again. Raises ``ValueError``
    at a group or a field of 16 and above, which no message of ours has, and at a length of more than 64 bits, of which
    protobuf reads as many as it takes.
    """
    at, end = 0, len(message)
    while at < end:
        tag = message[at]
        form = tag & 7
        at += 1
        if tag > 0x7F:
            raise ValueError("expected a field below 16")
        if form == _VARINT:
            _, at = _read_varint(message, at)
        elif form == _FIXED64:
            at += 8
        elif form == _FIXED32:
            at += 4
        elif form == _BYTES:
            size, at = _read_varint(message, at)
            if size > end - at:
                raise ValueError("expected a length within the message")
            yield tag >> 3, at, at + size
            at += size
        else:
            raise ValueError("expected no group")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte <= 0x7F:
            return number, at
        shift += 7
