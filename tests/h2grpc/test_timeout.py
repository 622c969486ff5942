"""Timeouts on the wire: all units, eight digits, never more than is left."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h2grpc.errors import BadTimeout
from h2grpc.timeout import decode, encode


@pytest.mark.parametrize(
    ("wire", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"5S", 5), (b"7m", 0.007), (b"9u", 0.000009), (b"11n", 0.000000011), (b"0m", 0)],
)
def test_every_unit_is_read(wire: bytes, seconds: float) -> None:
    assert decode(wire) == seconds


@pytest.mark.parametrize(
    "wire", [b"", b"S", b"1", b"1s", b"1h", b"-1S", b"+1S", b"1.5S", b" 1S", b"1 S", b"123456789n", b"1_0S"]
)
def test_anything_else_is_refused(wire: bytes) -> None:
    with pytest.raises(BadTimeout):
        decode(wire)


@given(st.binary(max_size=12))
def test_reading_either_works_or_refuses(wire: bytes) -> None:
    try:
        assert decode(wire) >= 0
    except BadTimeout:
        assert re.fullmatch(rb"[0-9]{1,8}[HMSmun]", wire) is None


@given(st.floats(min_value=1e-9, max_value=99_999_999 * 3600))
def test_the_server_sees_no_more_than_is_left_and_hardly_less(seconds: float) -> None:
    wire = encode(seconds)

    assert re.fullmatch(rb"[0-9]{1,8}[HMSmun]", wire)
    assert seconds * (1 - 1e-4) - 1.1e-9 <= decode(wire) <= seconds * (1 + 1e-12)


@pytest.mark.parametrize("seconds", [0.0, -3.0, 1e-12])
def test_time_that_is_over_is_the_shortest_there_is(seconds: float) -> None:
    assert encode(seconds) == b"1n"


@pytest.mark.parametrize(
    ("seconds", "wire"),
    [
        (0.05, b"50000000n"),
        (0.25, b"250000u"),
        (5, b"5000000u"),
        (600, b"600000m"),
        (1e6, b"1000000S"),
        (1e9, b"16666666M"),
        (1e11, b"27777777H"),
        (1e15, b"99999999H"),
        (float("inf"), b"99999999H"),
    ],
)
def test_the_finest_unit_that_fits_is_taken(seconds: float, wire: bytes) -> None:
    assert encode(seconds) == wire
