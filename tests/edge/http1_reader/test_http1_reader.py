"""Requests out of bytes: the same however the bytes are cut, and nothing without a limit."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, InvalidInput, TooLarge
from gateway.edge.config import EdgeConfig
from gateway.edge.http1_reader import SLICE, RequestReader
from gateway.edge.http_message import HttpRequest

CONFIG = EdgeConfig(max_body_bytes=1000, max_header_bytes=2048)
HELLO = b"POST /score?a=b HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = (
    b"PUT /c HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
)
UPGRADE = b"POST /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
UPLOAD = UPGRADE + b"Content-Length: 5\r\n\r\nhello"
OFFER = b"GET /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
OLD = b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


class Read:
    """What a reader has told, for one connection."""

    def __init__(self, config: EdgeConfig = CONFIG) -> None:
        self.requests: list[HttpRequest] = []
        self.connections: list[str] = []
        self.reader = RequestReader(config, "192.0.2.1", self._arrived)

    def __call__(self, *parts: bytes) -> Read:
        for part in parts:
            self.reader.feed(part)
        return self

    def _arrived(self, request: HttpRequest, connection: str) -> None:
        self.requests.append(request)
        self.connections.append(connection)

    @property
    def lines(self) -> list[tuple[str, str, str, bytes]]:
        return [(each.method, each.path, each.query, each.body) for each in self.requests]


@given(st.lists(st.integers(0, len(HELLO + CHUNKS + OLD)), max_size=8))
def test_requests_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    data = HELLO + CHUNKS + OLD
    edges = [0, *sorted(cuts), len(data)]
    read = Read()(*(data[a:b] for a, b in itertools.pairwise(edges)))

    assert read.lines == [("POST", "/score", "a=b", b"hello"), ("PUT", "/c", "", b"abcde"), ("GET", "/old", "", b"")]
    assert read.connections == ["", "", "keep-alive"]


def outcome(*parts: bytes) -> tuple[list[tuple[str, str, str, bytes]], bool]:
    """Which requests were read, and whether all was well."""
    read = Read()
    try:
        read(*parts)
    except GatewayError:
        return read.lines, False
    return read.lines, True


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([HELLO, CHUNKS, OLD, UPLOAD, OFFER]), min_size=1, max_size=3),
    st.binary(max_size=8) | st.sampled_from([b"\r\n", b"Content-Length: 3\r\n", b"0\r\n\r\n", b"HTTP/2.0"]),
    st.integers(0, 300),
    st.integers(0, 20),
    st.integers(1, 40),
)
def test_whatever_comes_is_a_request_or_a_refusal_however_it_is_cut(
    requests: list[bytes], noise: bytes, at: int, over: int, size: int
) -> None:
    data = b"".join(requests)
    data = data[:at] + noise + data[at + over :]

    assert outcome(data) == outcome(*(data[i : i + size] for i in range(0, len(data), size)))


def test_names_of_headers_are_lower_case_and_trailers_are_none() -> None:
    assert Read()(CHUNKS).requests[0].headers == {"host": "h", "transfer-encoding": "chunked"}


def test_the_first_of_two_headers_counts() -> None:
    read = Read()(b"GET / HTTP/1.1\r\nHost: h\r\nAccept: a\r\nAccept: b\r\n\r\n")

    assert read.requests[0].headers["accept"] == "a"


@pytest.mark.parametrize("name", ["Host", "Authorization"])
def test_two_headers_that_say_who_and_where_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=name.lower()):
        Read()(f"GET / HTTP/1.1\r\nHost: h\r\n{name}: a\r\n{name}: b\r\n\r\n".encode())


def test_a_target_is_decoded_without_its_query() -> None:
    assert Read()(b"GET /a%2Fb?c=%41 HTTP/1.1\r\nHost: h\r\n\r\n").lines == [("GET", "/a/b", "c=%41", b"")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: h\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["no host", "no version", "0.9", "2.0", "http/2", "gzip, chunked", "chunked in 1.0"],
)
def test_what_the_grammar_allows_and_we_do_not_is_refused(head: bytes) -> None:
    with pytest.raises(InvalidInput):
        Read()(head)


def test_a_body_is_refused_from_its_length_alone() -> None:
    with pytest.raises(TooLarge):
        Read()(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n")


def test_chunks_are_refused_when_they_pass_the_limit() -> None:
    read = Read()(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000 + b"\r\n")
    with pytest.raises(TooLarge):
        read(b"1\r\nx\r\n")


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"", b"\r\n"),
        (b"GET /", b"a"),
        (b"GET / HTTP/1.1\r\n", b"X"),
        (b"GET / HTTP/1.1\r\nX: ", b"a"),
        (b"GET / HTTP/1.1\r\n", b"X: a\r\n"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a"),
    ],
    ids=["blank lines", "target", "name", "value", "headers", "chunk extension", "trailers", "trailer value"],
)
def test_nothing_may_go_on_without_end(begin: bytes, more: bytes) -> None:
    read = Read()(begin)
    times = 2 * (4 * CONFIG.max_header_bytes + SLICE) // 1024
    with pytest.raises(InvalidInput):
        read(*[more * (1024 // len(more))] * times)


@pytest.mark.parametrize("before", [b"", HELLO, HELLO + HELLO])
@pytest.mark.parametrize(
    "long", [b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n"]
)
def test_the_limit_of_one_header_holds_wherever_it_stands(before: bytes, long: bytes) -> None:
    read = Read()
    read(before + long % (b"a" * 2000))
    with pytest.raises(InvalidInput, match="2048"):
        read(before + long % (b"a" * 2050))


def test_many_small_headers_are_refused() -> None:
    lines = b"".join(b"X-%d: a\r\n" % i for i in range(128))
    with pytest.raises(InvalidInput, match="128 headers"):
        Read()(b"GET / HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n")


def test_a_long_upload_of_small_chunks_is_no_abuse() -> None:
    read = Read(EdgeConfig(max_body_bytes=100_000, max_header_bytes=1024))
    read(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 50_000, b"0\r\n\r\n")

    assert len(read.requests[0].body) == 50_000


@pytest.mark.parametrize("cut", range(0, 40, 5))
@pytest.mark.parametrize(
    "framed", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
def test_an_offer_to_upgrade_is_not_taken_up(framed: bytes, cut: int) -> None:
    data = UPGRADE + framed
    read = Read()(data[:-cut], data[-cut:]) if cut else Read()(data)

    assert (read.lines, read.connections) == ([("POST", "/u", "", b"hello")], ["close"])


def test_what_is_wrong_behind_an_offer_to_upgrade_is_refused() -> None:
    read = Read()
    with pytest.raises(InvalidInput, match="host"):
        read(OFFER + b"GET / HTTP/1.1\r\n\r\n")

    assert [each.path for each in read.requests] == ["/u"]


def test_an_offer_to_upgrade_without_a_body_leaves_the_connection_as_it_is() -> None:
    read = Read()(b"GET /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + HELLO)

    assert [each.path for each in read.requests] == ["/u", "/score"]


@pytest.mark.parametrize("none", [b"0", b"00", b"0 ", b" 0\t", b"0" * 1900, b"000 "])
@pytest.mark.parametrize("head", [UPGRADE, b"POST /u HTTP/1.1\r\nHost: h\r\n"])
def test_a_length_of_nothing_however_it_is_written_leaves_the_connection_as_it_is(head: bytes, none: bytes) -> None:
    read = Read()(head + b"Content-Length: " + none + b"\r\n\r\n", HELLO)

    assert read.lines == [("POST", "/u", "", b""), ("POST", "/score", "a=b", b"hello")]


def test_a_length_may_begin_with_more_noughts_than_python_reads_digits() -> None:
    read = Read(EdgeConfig(max_body_bytes=1000, max_header_bytes=16_000))
    read(b"POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"0" * 5000 + b"5\r\n\r\nhello")

    assert read.lines == [("POST", "/u", "", b"hello")]


def test_a_refused_request_is_known_as_far_as_it_was_read() -> None:
    read = Read()(b"POST /invocations HTTP/1.1\r\nX: 1\r\n")
    with pytest.raises(InvalidInput):
        read(b"X Y: 1\r\n")

    assert read.reader.known().path == "/invocations"


def test_a_closed_reader_reads_nothing() -> None:
    read = Read()
    read.reader.close()

    assert read(HELLO).requests == []
