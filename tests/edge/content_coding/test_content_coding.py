"""Encodings come off, within the limit, in the reverse of their order."""

from __future__ import annotations

import gzip
import zlib

import pytest

from gateway.core.errors import InvalidInput, TooLarge, UnsupportedMedia
from gateway.edge.content_coding import decoded

PLAIN = b'{"data": [[1, 2]]}' * 20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PLAIN, None),
        (PLAIN, ""),
        (PLAIN, "identity"),
        (gzip.compress(PLAIN), "gzip"),
        (gzip.compress(PLAIN), "X-GZIP"),
        (zlib.compress(PLAIN), "deflate"),
        (zlib.compress(PLAIN, 1), "deflate"),
        (raw_deflate(PLAIN), "deflate"),
        (gzip.compress(PLAIN[:50]) + gzip.compress(PLAIN[50:]), "gzip"),
        (gzip.compress(zlib.compress(PLAIN)), "deflate, gzip"),
    ],
)
def test_the_plain_body_comes_out(body: bytes, encoding: str | None) -> None:
    assert decoded(body, encoding, 10_000) == PLAIN


def test_exactly_the_limit_is_allowed() -> None:
    assert decoded(gzip.compress(b"x" * 100), "gzip", 100) == b"x" * 100


@pytest.mark.parametrize("members", [1, 3])
def test_one_byte_over_the_limit_is_too_large(members: int) -> None:
    with pytest.raises(TooLarge):
        decoded(gzip.compress(b"x" * 101) * members, "gzip", 101 * members - 1)


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(PLAIN)[:-4], gzip.compress(PLAIN) + b"rest"])
def test_a_damaged_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        decoded(body, "gzip", 10_000)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip, gzip"])
def test_other_encodings_are_unsupported(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia):
        decoded(gzip.compress(PLAIN), encoding, 10_000)
