"""Which encoding an answer gets."""

from __future__ import annotations

import gzip
import zlib

import pytest

from gateway.edge.accept_encoding import choose, encode


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate", "gzip"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0, deflate;q=0", None),
        ("*", "gzip"),
        ("*, gzip;q=0", "deflate"),
        ("GZIP;Q=1", "gzip"),
        ("gzip;q=much", None),
    ],
)
def test_the_callers_favourite_is_chosen(accepted: str | None, encoding: str | None) -> None:
    assert choose(accepted) == encoding


def test_both_encodings_are_what_they_are_called() -> None:
    assert (
        gzip.decompress(encode(b"abc" * 99, "gzip")) == zlib.decompress(encode(b"abc" * 99, "deflate")) == b"abc" * 99
    )
