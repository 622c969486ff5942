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


EMPTY = gzip.compress(b"")


def test_a_body_of_many_members_is_read_whole() -> None:
    assert decoded(gzip.compress(b"x" * 70) * 2048, "gzip", 1_000_000) == b"x" * 70 * 2048


@pytest.mark.parametrize("members", [2049, 200_000])
def test_a_body_of_members_without_end_is_too_large_however_little_is_in_them(members: int) -> None:
    with pytest.raises(TooLarge, match="members"):
        decoded(EMPTY * members, "gzip", 10_000)


def test_what_a_member_leaves_over_is_never_more_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies that zlib makes of it are what a body of small members would cost."""
    fed: list[int] = []
    make = zlib.decompressobj

    class Counting:
        def __init__(self, window_bits: int) -> None:
            self._inflater = make(window_bits)

        def decompress(self, data: bytes, most: int) -> bytes:
            fed.append(len(data))
            return self._inflater.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inflater, name)

    monkeypatch.setattr("gateway.edge.content_coding.zlib.decompressobj", Counting)
    decoded(EMPTY * 2000 + gzip.compress(bytes(range(256)) * 4000, 0), "gzip", 2_000_000)

    assert max(fed) <= 64 * 1024
    assert len(fed) <= 2000 + 1_100_000 // (64 * 1024) + 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_left_when_it_passes_the_limit(encoding: str) -> None:
    bomb = gzip.compress(bytes(50_000_000)) if encoding == "gzip" else zlib.compress(bytes(50_000_000))
    with pytest.raises(TooLarge):
        decoded(bomb, encoding, 1000)


def test_a_bomb_in_a_bomb_is_left_at_the_first() -> None:
    with pytest.raises(TooLarge):
        decoded(gzip.compress(gzip.compress(bytes(50_000_000))), "gzip, gzip", 1000)


@pytest.mark.parametrize("cut", [1, 3, 65_535, 65_536, 65_537])
def test_a_stream_may_be_longer_than_a_piece(cut: int) -> None:
    plain = bytes(range(256)) * 1000
    packed = zlib.compress(plain, 0)

    assert decoded(packed, "deflate", 300_000) == plain
    with pytest.raises(InvalidInput):
        decoded(packed[:-cut], "deflate", 300_000)
