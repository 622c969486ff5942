"""Lengths of time as people write them in a file: ``90s``, ``15m``, ``24h``, ``7d``, or plain seconds."""

from __future__ import annotations

import re

__all__ = ["seconds"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def seconds(length: float | str) -> float:
    """Raises ``ValueError`` when it is none, or not more than 0."""
    if isinstance(length, str):
        match = _TEXT.fullmatch(length.strip())
        value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    else:
        value = float(length)
    if not 0 < value < float("inf"):
        raise ValueError(f"expected a length of time such as 90s, 15m, 24h, 7d or seconds, got {length!r}")
    return value
