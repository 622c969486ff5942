from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_cache.resp import Parser, ProtocolError, Push, ReplyError, command
from tests.support.unhurried import unhurried

SIMPLE: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=30),
    st.builds(ReplyError, st.sampled_from(["ERR no", "MOVED 1 a:1", "WRONGTYPE"])),
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=4), inner, max_size=3),
    max_leaves=8,
)
REPLIES = st.lists(VALUES | st.lists(VALUES, max_size=3).map(Push), max_size=6)


def wire(value: Any) -> bytes:
    match value:
        case None:
            return b"_\r\n"
        case bool():
            return b"#t\r\n" if value else b"#f\r\n"
        case int():
            return b":%d\r\n" % value
        case float():
            return f",{value!r}\r\n".encode()
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case ReplyError():
            return f"-{value}\r\n".encode()
        case dict():
            return b"%%%d\r\n" % len(value) + b"".join(wire(k) + wire(v) for k, v in value.items())
        case Push():
            return b">%d\r\n" % len(value) + b"".join(map(wire, value))
        case list():
            return b"*%d\r\n" % len(value) + b"".join(map(wire, value))
    raise AssertionError(value)


def plain(value: Any) -> Any:
    """Comparable: an error is no value that equals another."""
    if isinstance(value, ReplyError):
        return ("error", str(value))
    if isinstance(value, list):
        return (type(value), [plain(item) for item in value])
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return (type(value), value)


@unhurried
@given(REPLIES, st.data())
def test_replies_are_the_same_wherever_the_bytes_are_cut(replies: list[Any], data: st.DataObject) -> None:
    raw = b"".join(map(wire, replies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    parser, found = Parser(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += parser.feed(raw[start:end])

    assert list(map(plain, found)) == list(map(plain, replies))


@unhurried
@given(REPLIES)
def test_replies_are_the_same_byte_by_byte(replies: list[Any]) -> None:
    parser = Parser()
    found = [reply for byte in b"".join(map(wire, replies)) for reply in parser.feed(bytes([byte]))]

    assert list(map(plain, found)) == list(map(plain, replies))


@unhurried
@given(st.binary())
def test_whatever_comes_is_replies_or_a_protocol_error(raw: bytes) -> None:
    try:
        replies = Parser().feed(raw)
    except ProtocolError:
        return
    assert isinstance(replies, list)


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"+OK\r\n", b"OK"),
        (b"(12345678901234567890\r\n", 12345678901234567890),
        (b",inf\r\n", math.inf),
        (b"=7\r\ntxt:abc\r\n", b"abc"),
        (b"~2\r\n:1\r\n:2\r\n", [1, 2]),
        (b"|1\r\n+ttl\r\n:3\r\n+OK\r\n", b"OK"),
        (b"|0\r\n+OK\r\n", b"OK"),
        (b"*2\r\n|1\r\n+ttl\r\n:3\r\n:1\r\n:2\r\n", [1, 2]),
    ],
)
def test_what_servers_may_send_besides_is_understood(raw: bytes, reply: object) -> None:
    assert Parser().feed(raw) == [reply]


def test_a_long_error_is_an_error() -> None:
    (reply,) = Parser().feed(b"!9\r\nOOM full!\r\n")

    assert isinstance(reply, ReplyError)
    assert reply.code == "OOM"


@pytest.mark.parametrize(
    "raw",
    [
        b"hello\r\n",
        b":one\r\n",
        b"$x\r\n",
        b"*?\r\n",
        b"$99999999999\r\n",
        b"+" + b"a" * 70_000,
        b"*1\r\n" * 17,
        b"%1\r\n*0\r\n:1\r\n",
    ],
    ids=["no type", "no number", "no length", "streamed", "without measure", "without end", "too deep", "no key"],
)
def test_what_is_no_resp_ends_it(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        Parser().feed(raw)


def test_a_command_is_words_with_their_lengths() -> None:
    assert command("SET", b"a\r\n", 7) == b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$1\r\n7\r\n"
