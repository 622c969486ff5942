"""Metadata: there and back, gRPC's own keys aside, and limits."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h2grpc.errors import BadMetadata, MetadataTooLarge
from h2grpc.metadata import decode, encode

NAMES = st.text(string.ascii_lowercase + string.digits + "_-.", min_size=1, max_size=20)
TEXT = st.tuples(
    NAMES.map(lambda name: f"x-{name}.t"), st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
)
BINARY = st.tuples(NAMES.map(lambda name: f"x-{name}-bin"), st.binary(max_size=40))


@given(st.lists(TEXT | BINARY, max_size=10))
def test_metadata_comes_back_as_it_was_in_order(pairs: list[tuple[str, str | bytes]]) -> None:
    stripped = [(key, value.strip(" ") if isinstance(value, str) else value) for key, value in pairs]

    assert decode(encode(pairs)) == tuple(stripped)


@given(st.binary(max_size=40))
def test_binary_values_are_read_with_and_without_padding(value: bytes) -> None:
    padded = base64.b64encode(value)

    assert decode([(b"a-bin", padded)]) == decode([(b"a-bin", padded.rstrip(b"="))]) == (("a-bin", value),)


def test_binary_values_are_written_without_padding() -> None:
    assert encode([("a-bin", b"a")]) == [(b"a-bin", b"YQ")]


@given(st.lists(st.binary(max_size=10), min_size=1, max_size=5))
def test_binary_values_joined_by_commas_are_several(values: list[bytes]) -> None:
    joined = b", ".join(base64.b64encode(value) for value in values)

    assert decode([(b"a-bin", joined)]) == tuple(("a-bin", value) for value in values)


@pytest.mark.parametrize("value", [b"?", b"a", b"YQ==YQ", "ü".encode()])
def test_a_binary_value_that_is_no_base64_is_refused(value: bytes) -> None:
    with pytest.raises(BadMetadata):
        decode([(b"a-bin", value)])


def test_headers_of_http_and_grpc_are_not_shown() -> None:
    hidden = [
        b":path",
        b":status",
        b"te",
        b"content-type",
        b"grpc-timeout",
        b"grpc-encoding",
        b"grpc-status",
        b"grpc-message",
    ]
    headers = [(name, b"1") for name in hidden]

    assert decode([*headers, (b"user-agent", b"x"), (b"grpc-status-details-bin", b"YQ")]) == (
        ("user-agent", "x"),
        ("grpc-status-details-bin", b"a"),
    )


@pytest.mark.parametrize(
    "key",
    [
        "",
        ":path",
        "Upper",
        "ä",
        "a b",
        "te",
        "content-type",
        "grpc-timeout",
        "grpc-anything",
        "connection",
        "user-agent",
    ],
)
def test_keys_that_are_none_or_not_theirs_are_refused(key: str) -> None:
    with pytest.raises(BadMetadata):
        encode([(key, "1")])


def test_details_of_a_status_may_be_sent() -> None:
    assert encode([("grpc-status-details-bin", b"a")]) == [(b"grpc-status-details-bin", b"YQ")]


@pytest.mark.parametrize("value", ["ü", "a\nb", "a\x00", "\x7f"])
def test_text_values_are_printable_ascii_and_the_error_does_not_show_them(value: str) -> None:
    with pytest.raises(BadMetadata) as caught:
        encode([("a", value)])

    assert value not in str(caught.value)


@given(st.binary())
def test_any_text_value_on_the_wire_is_readable(value: bytes) -> None:
    (pair,) = decode([(b"a", value)], limit=1 << 20)

    assert pair == ("a", value.decode("latin-1"))


def test_a_list_at_the_limit_passes_and_above_it_is_refused_both_ways() -> None:
    headers = [(b"a", b"x" * 100), (b"b", b"y")]
    limit = 1 + 100 + 32 + 1 + 1 + 32

    assert encode(decode(headers, limit), limit) == headers
    with pytest.raises(MetadataTooLarge):
        decode(headers, limit - 1)
    with pytest.raises(MetadataTooLarge):
        encode([("a", "x" * 100), ("b", "y")], limit - 1)
