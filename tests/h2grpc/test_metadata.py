"""Metadata: there and back, gRPC's own keys aside, and limits."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from h2grpc import metadata
from h2grpc.errors import BadMetadata, MetadataTooLarge
from h2grpc.metadata import decode, encode, places

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


KEYS = st.sampled_from(["a", "a", "a", "b", "b", "x-request-id", "b-bin", "Upper", "te", "grpc-x", "ä", ""])
ANYTHING = st.one_of(
    st.sampled_from(["1", " 1", "1 ", "a b"]),
    st.text(st.characters(max_codepoint=0x80), max_size=8),
    st.text(max_size=3),
    st.binary(max_size=8),
)


def outcome(encoded: Callable[[], list[tuple[bytes, bytes]]]) -> object:
    try:
        return encoded()
    except (BadMetadata, UnicodeEncodeError) as error:
        return type(error), str(error)


@given(st.lists(st.lists(st.tuples(KEYS, ANYTHING), max_size=4), max_size=6), st.integers(0, 300))
@example([[("a", "1")], [("a", " 1 ")], [("a", "\n")], [("a", b"1")], [("a", "\ud800")]], 300)
@example([[("a", "1")], [("a", "12")]], 34)
def test_keys_that_were_sent_before_make_no_difference(
    sequence: list[list[tuple[str, str | bytes]]], limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, "_names", {})
        remembered = [outcome(lambda pairs=pairs: encode(pairs, limit)) for pairs in sequence]  # type: ignore[misc]
        fresh = []
        for pairs in sequence:
            patch.setattr(metadata, "_names", {})
            fresh.append(outcome(lambda pairs=pairs: encode(pairs, limit)))  # type: ignore[misc]

    assert remembered == fresh


def test_keys_without_end_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "_names", {})
    for number in range(1_000):
        encode([(f"x-{number}", "1"), ("y" * 200 + str(number), "1")])

    assert len(metadata._names) <= 256
    assert max(map(len, metadata._names)) <= 64


def test_only_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "_names", {})
    encode([("authorization", "secret"), ("x-bin", b"secret")])

    assert metadata._names == {"authorization": b"authorization"}


@given(
    st.lists(st.tuples(st.sampled_from([b":path", b"te", b"a", b"b", b"c-bin"]), st.sampled_from([b"YQ", b"YQ,Yg"])))
)
def test_places_are_where_decoding_puts_text(headers: list[tuple[bytes, bytes]]) -> None:
    pairs = decode(headers)
    shown = [(place, header) for place, header in zip(places(headers), headers, strict=True) if place >= 0]

    assert [pairs[place] for place, _ in shown] == [(name.decode(), value.decode()) for _, (name, value) in shown]
    assert len(shown) == sum(not key.endswith("-bin") for key, _ in pairs)
