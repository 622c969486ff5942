"""
``grpc-timeout``: how long the caller still waits, as at most eight digits and a unit.

Encoding picks the finest unit in which the time fits and rounds down, so that a server never believes in more time than
the caller has; the caller's own clock decides anyway. The error is below a nanosecond or one part in 100,000.
"""

from __future__ import annotations

from typing import Final

from h2grpc.errors import BadTimeout

__all__ = ["decode", "encode"]

MOST: Final = 99_999_999

SECONDS: Final = {
    ord("H"): 3600.0,
    ord("M"): 60.0,
    ord("S"): 1.0,
    ord("m"): 1e-3,
    ord("u"): 1e-6,
    ord("n"): 1e-9,
}

# Divided rather than multiplied: 1e-3 is not a thousandth, and 0.007 s has to be seven milliseconds.
_FRACTIONS: Final = {ord("m"): 1e3, ord("u"): 1e6, ord("n"): 1e9}


def decode(value: bytes) -> float:
    """Seconds; ``BadTimeout`` for anything that is not one to eight digits and a unit."""
    digits = value[:-1]
    if not 1 <= len(digits) <= 8 or not digits.isdigit():
        raise BadTimeout("grpc-timeout is not at most eight digits and a unit")
    unit = value[-1]
    if (fraction := _FRACTIONS.get(unit)) is not None:
        return int(digits) / fraction
    if (seconds := SECONDS.get(unit)) is None:
        raise BadTimeout("grpc-timeout has no unit of H, M, S, m, u, n")
    return int(digits) * seconds


def encode(seconds: float) -> bytes:
    """Time that is over already is one nanosecond: the specification knows no zero."""
    if seconds <= 1e-9:
        return b"1n"
    if seconds < 0.1 and (number := int(seconds * 1e9)) <= MOST:
        return b"%dn" % number
    if seconds < 100 and (number := int(seconds * 1e6)) <= MOST:
        return b"%du" % number
    if seconds < 100_000 and (number := int(seconds * 1e3)) <= MOST:
        return b"%dm" % number
    if seconds <= MOST:
        return b"%dS" % int(seconds)
    if seconds <= MOST * 60:
        return b"%dM" % int(seconds / 60)
    return b"%dH" % int(min(seconds / 3600, MOST))
