"""Compressed messages: back as they were, and never more than the limit."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h2grpc.compression import ALGORITHMS, compress, decompress
from h2grpc.errors import BadCompression, MessageTooLarge, UnknownCompression

REAL = st.sampled_from([name for name in ALGORITHMS if name != "identity"])


@given(REAL, st.binary(max_size=2000))
def test_a_message_comes_back_at_exactly_the_limit(algorithm: str, message: bytes) -> None:
    assert decompress(algorithm, compress(algorithm, message), len(message)) == message


@given(REAL, st.binary(min_size=1, max_size=2000))
def test_one_byte_over_the_limit_is_refused(algorithm: str, message: bytes) -> None:
    data = compress(algorithm, message)
    with pytest.raises(MessageTooLarge):
        decompress(algorithm, data, len(message) - 1)


@given(REAL, st.binary(max_size=200), st.integers(1, 20))
def test_data_cut_short_is_refused(algorithm: str, message: bytes, missing: int) -> None:
    data = compress(algorithm, message)[:-missing]
    with pytest.raises(BadCompression):
        decompress(algorithm, data, 1000)


@given(REAL, st.binary(max_size=200))
def test_nonsense_is_refused_or_is_no_nonsense(algorithm: str, data: bytes) -> None:
    try:
        decompress(algorithm, data, 100_000)
    except (BadCompression, MessageTooLarge):
        return
    assert zlib.decompressobj(47).decompress(data) is not None


@given(REAL, st.binary(max_size=50), st.binary(min_size=1, max_size=5))
def test_bytes_after_the_data_are_refused(algorithm: str, message: bytes, more: bytes) -> None:
    with pytest.raises(BadCompression):
        decompress(algorithm, compress(algorithm, message) + more, 1000)


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(MessageTooLarge):
        decompress("gzip", bomb, 1000)


def test_other_implementations_read_what_we_write() -> None:
    assert gzip.decompress(compress("gzip", b"abc")) == zlib.decompress(compress("deflate", b"abc")) == b"abc"


def test_identity_leaves_a_message_alone() -> None:
    assert compress("identity", b"abc") == b"abc"


def test_a_compressed_message_needs_the_name_of_an_algorithm() -> None:
    with pytest.raises(BadCompression):
        decompress("identity", b"abc", 10)


def test_an_algorithm_nobody_offered_is_unimplemented() -> None:
    with pytest.raises(UnknownCompression):
        decompress("zstd", b"abc", 10)
    with pytest.raises(UnknownCompression):
        compress("zstd", b"abc")
