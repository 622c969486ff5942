"""Puts a content encoding on an answer when the caller takes one and the answer is long enough to gain by it."""

from __future__ import annotations

import zlib

__all__ = ["WORTH_IT", "choose", "encode"]

WORTH_IT = 1024
"""Bytes below which the encoding costs more than it saves."""

_LEVEL = 1
"""Numbers hardly shrink further at higher levels, which take several times as long."""

_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def choose(accept_encoding: str | None) -> str | None:
    """``gzip`` or ``deflate``, whichever the caller likes better (RFC 9110 §12.5.3); None for neither."""
    if not accept_encoding:
        return None
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        name, _, parameter = part.partition(";")
        weights[name.strip().lower()] = _weight(parameter)
    rest = weights.get("*", 0.0)
    weight, name = max((weights.get(name, rest), name) for name in _WINDOW_BITS)
    return name if weight > 0 else None


def encode(body: bytes, encoding: str) -> bytes:
    """``encoding`` is one that ``choose`` gave; ``deflate`` means the zlib format."""
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[encoding])
    return deflater.compress(body) + deflater.flush()


def _weight(parameter: str) -> float:
    key, _, value = parameter.partition("=")
    if key.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
