"""
The types that entities and features can have, and which Python value each one is.

A timestamp is an int of microseconds since 1970 in UTC: exact, and cheap to hand to a model. Aware datetimes are taken
too when writing; naive ones are refused, because they mean another moment on another machine.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["ENTITY_TYPES", "FEATURE_TYPES", "DataType", "datatype"]


@dataclass(frozen=True, slots=True)
class DataType:
    """One type. ``code`` is the format character of the struct module; empty for what varies in length."""

    name: str
    element: str
    """The type of one element; of a scalar its own name."""
    is_list: bool
    code: str
    check: Callable[[object], object]
    """The value as this type holds it. Raises ``TypeError`` or ``ValueError`` that say what was expected."""


def _integer(bits: int) -> Callable[[object], int]:
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def check(value: object) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"expected a whole number, got {_kind(value)}")
        number = operator.index(value)
        if not least <= number <= most:
            raise ValueError(f"expected a whole number of {bits} bits")
        return number

    return check


def _float64(value: object) -> float:
    if type(value) is float:
        return value
    if isinstance(value, (bool, str, bytes)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"expected a number, got {_kind(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]  # one of the two was found above
    except OverflowError:
        raise ValueError("expected a number that 64-bit floating point can hold") from None
    if hasattr(value, "__index__") and int(number) != operator.index(value):
        raise ValueError("expected a number that 64-bit floating point holds exactly")
    return number


def _float32(value: object) -> float:
    number = _float64(value)
    if abs(number) > 3.4028235677973366e38 and abs(number) != float("inf"):  # from here it would round to infinity
        raise ValueError("expected a number that 32-bit floating point can hold")
    return number


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy":
        return bool(value)
    raise TypeError(f"expected true or false, got {_kind(value)}")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("expected text without lone surrogates") from None
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"expected bytes, got {_kind(value)}")
    return bytes(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_int64 = _integer(64)


def _timestamp(value: object) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("expected a time with a time zone")
        return (value - _EPOCH) // _MICROSECOND
    return _int64(value)


def _list_of(check: Callable[[object], object]) -> Callable[[object], list[object]]:
    def check_all(value: object) -> list[object]:
        if hasattr(value, "tolist"):  # numpy's arrays
            value = value.tolist()
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"expected a list, got {_kind(value)}")
        return [check(item) for item in value]

    return check_all


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


_SCALARS = {
    "int64": DataType("int64", "int64", False, "q", _int64),
    "int32": DataType("int32", "int32", False, "i", _integer(32)),
    "float64": DataType("float64", "float64", False, "d", _float64),
    "float32": DataType("float32", "float32", False, "f", _float32),
    "bool": DataType("bool", "bool", False, "?", _bool),
    "string": DataType("string", "string", False, "", _string),
    "bytes": DataType("bytes", "bytes", False, "", _bytes),
    "timestamp": DataType("timestamp", "timestamp", False, "q", _timestamp),
}
_LISTS = {
    f"list[{name}]": DataType(f"list[{name}]", name, True, "", _list_of(scalar.check))
    for name, scalar in _SCALARS.items()
}
_ALL = _SCALARS | _LISTS

FEATURE_TYPES = tuple(_ALL)
"""Names of the types of features."""

ENTITY_TYPES = ("int64", "int32", "string", "bytes", "timestamp")
"""Names of the types of entities: floating point is no key."""


def datatype(name: str) -> DataType:
    """The type of this name, one of ``FEATURE_TYPES``."""
    return _ALL[name]
