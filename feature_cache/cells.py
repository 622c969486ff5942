"""
A text as a value of a type: cells of CSV files, and keys on a command line.

Numbers are read as R and Python write them, times as ISO 8601 or microseconds since 1970, bytes as base64, lists as
JSON. An empty text is null, and so is R's NA where the type is not string.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from feature_cache.datatype import DataType

__all__ = ["EXACT", "cell_parser"]

EXACT = 2**53
"""Beyond this a whole number written as a float may not be the one that was meant."""


def cell_parser(kind: DataType, assume_utc: bool) -> Callable[[str], object]:
    """Reads a text of this type; raises ``ValueError`` that says what was expected. None stands for an empty one."""
    if kind.is_list:
        element = _json_element(kind.element, assume_utc)
        return lambda cell: None if cell in ("", "NA") else [element(item) for item in _json_list(cell)]
    if kind.name == "string":
        return lambda cell: cell or None
    parse = _SCALARS.get(kind.name) or _time_parser(assume_utc)
    return lambda cell: None if (cell := cell.strip()) in ("", "NA") else parse(cell)


def _integer(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        pass
    try:
        number = float(cell)  # R writes 1e+05
    except ValueError:
        number = math.nan
    if not number.is_integer() or abs(number) > EXACT:
        raise ValueError("expected a whole number")
    return int(number)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError("expected a number") from None


def _boolean(cell: str) -> bool:
    try:
        return {"true": True, "false": False, "1": True, "0": False}[cell.lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def _bytes(cell: str) -> bytes:
    try:
        return base64.b64decode(cell, validate=True)
    except ValueError:
        raise ValueError("expected bytes in base64") from None


def _time_parser(assume_utc: bool) -> Callable[[str], datetime | int]:
    def parse(cell: str) -> datetime | int:
        if cell.removeprefix("-").isdecimal():
            return int(cell)
        try:
            moment = datetime.fromisoformat(cell)
        except ValueError:
            raise ValueError("expected a time such as 2026-01-31T12:00:00Z, or microseconds since 1970") from None
        if moment.tzinfo is None:
            if not assume_utc:
                raise ValueError("expected a time with a time zone; --utc takes these for UTC")
            return moment.replace(tzinfo=UTC)
        return moment

    return parse


def _json_list(cell: str) -> list[Any]:
    try:
        found = json.loads(cell)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise ValueError("expected a list in JSON")
    return found


def _json_element(kind: str, assume_utc: bool) -> Callable[[Any], object]:
    if kind in ("bytes", "timestamp"):
        parse: Callable[[str], object] = _bytes if kind == "bytes" else _time_parser(assume_utc)
        return lambda item: parse(item) if isinstance(item, str) else item
    return lambda item: item


_SCALARS: dict[str, Callable[[str], object]] = {
    "int64": _integer,
    "int32": _integer,
    "float64": _number,
    "float32": _number,
    "bool": _boolean,
    "bytes": _bytes,
}
