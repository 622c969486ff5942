"""Lengths of time as people write them in a file: ``90s``, ``15m``, ``24h``, ``7d``, or plain seconds."""

from __future__ import annotations

import re

__all__ = ["seconds"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_DAYS = 36_500
"""A hundred years: a store counts its milliseconds in 64 bits, and ends what lasts longer with an error."""
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def seconds(length: float | str) -> float:
    """Raises ``ValueError`` when it is none, not more than 0, or longer than anybody means."""
    if isinstance(length, str):
        match = _TEXT.fullmatch(length.strip())
        value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    else:
        value = float(length)
    if value > _LONGEST_DAYS * _UNITS["d"]:
        raise ValueError(f"expected at most {_LONGEST_DAYS}d, got {length!r}")
    if not value > 0:
        raise ValueError(f"expected a length of time such as 90s, 15m, 24h, 7d or seconds, got {length!r}")
    return value
