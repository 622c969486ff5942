"""A remembered head changes nothing but the cost: the same requests and the same refusals, whatever comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.access import ClientCertificate
from gateway.core.errors import GatewayError
from gateway.edge.config import EdgeConfig
from gateway.edge.http1_reader import RequestReader
from gateway.edge.http1_remembered_head import RememberedHead
from gateway.edge.http_message import HttpRequest

CONFIG = EdgeConfig(max_body_bytes=1000, max_header_bytes=1024)
CERTIFICATE = ClientCertificate("CN=client", ())
PLAIN = b"POST /score?a=b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\nContent-Length: %b\r\nX-One: 1\r\n\r\n"
HELLO = PLAIN % b"5" + b"hello"
TRACED = PLAIN.replace(b"X-One: 1", b"traceparent: %t\r\nX-Request-Id: %i")


@dataclass
class Client:
    """One connection's reader, fed as the receiver feeds it, and all that can be seen of it."""

    remembers: bool
    requests: list[HttpRequest] = field(default_factory=list)
    recognized: int = 0
    seen: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = RequestReader(CONFIG, "192.0.2.1", self._arrived, CERTIFICATE)

    def send(self, *pieces: bytes) -> Client:
        reader = self.reader
        for piece in pieces:
            head = reader.remembered if self.remembers and reader.is_between else None
            request = None if head is None else head.again(piece)
            if head is not None and request is not None:
                self.recognized += 1
                if head.lacks:
                    reader.withhold(piece, request, head.lacks)
                else:
                    self._arrived(request, "")
            else:
                try:
                    reader.feed(piece)
                except GatewayError as error:
                    self.seen.append((type(error), str(error), reader.known().path))
                    break
            self.seen.append((reader.body_bytes, reader.is_in_head, reader.expects_continue, reader.request is None))
        return self

    def _arrived(self, request: HttpRequest, connection: str) -> None:
        self.requests.append(request)
        told = (request.method, request.path, request.query, dict(request.headers), request.body, request.peer)
        self.seen.append((*told, request.id, request.call, request.certificate, connection))


def both(*pieces: bytes) -> tuple[list[Any], list[Any]]:
    return Client(remembers=True).send(*pieces).seen, Client(remembers=False).send(*pieces).seen


# One that hardly differs from another is what could be mixed up.
HEADS = (
    PLAIN,
    PLAIN.replace(b"Bearer k", b"Bearer K"),
    PLAIN.replace(b"/score?a=b", b"/%73core?a=c"),
    PLAIN.replace(b"POST", b"PUT"),
    PLAIN.replace(b"X-One: 1\r\n", b""),
    PLAIN.replace(b"X-One: 1", b"content-length: 5"),
    PLAIN.replace(b"X-One: 1", b"Transfer-Encoding: chunked"),
    PLAIN.replace(b"X-One: 1", b"Expect: 100-continue"),
    PLAIN.replace(b"X-One: 1", b"Connection: close"),
    PLAIN.replace(b"X-One: 1", b"Connection: keep-alive"),
    PLAIN.replace(b"X-One: 1", b"Connection: Upgrade\r\nUpgrade: h2c"),
    PLAIN.replace(b"X-One: 1", b"X-Length: \r\n content-length: 5"),
    PLAIN.replace(b"X-One: 1", b"X-Long: " + b"a" * 1017),
    PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"X-One: 1", b"Connection: keep-alive"),
    PLAIN.replace(b"Content-Length: ", b"CONTENT-length:\t "),
    PLAIN.replace(b"\r\nContent-Length: %b", b"\r\nX: Content-Length: %b\r\nContent-Length: 5"),
    PLAIN.replace(b"Content-Length: %b", b"Content-Length: 5\r\nX-Other-Content-Length: %b"),
)
TRACED_HEADS = (
    TRACED,
    TRACED.replace(b"X-Request-Id", b"Traceparent"),
    TRACED.replace(b"X-Request-Id", b"x-MS-client-request-id"),
    TRACED.replace(b"%i", b"%i\r\nx-request-id: ab"),
    TRACED.replace(b"X-Request-Id:", b"X-Request-Id: ab \r\nX-Request-Id:"),
    TRACED.replace(b"Content-Length: %b\r\n", b"").replace(b"%i", b"%i\r\nContent-Length: %b"),
    TRACED.replace(b"Authorization: Bearer k", b"Authorization: %i"),
)
IDS = st.sampled_from(
    [b"ab", b"cd", b"C-", b"--", b"", b"a", b"abc", b"a ", b" a", b"a:", b"a,", b"\xc3\xa9", b"\r\n"]
) | (
    st.sampled_from(
        [b"ab\r\nX: c", b"ab\r\nContent-Length: 5", b"ab\r\n\r\n", b"00-0af7651916cd43dd8448eb211c80319c-01"]
    )
)
DIGITS = st.sampled_from([b"5", b"4", b"0", b"12", b"05", b"005", b"", b"-5", b"+5", b"5 ", b" 5", b"5,5", b"0x5"]) | (
    st.sampled_from(
        [b"1000", b"1001", b"0" * 14 + b"5", b"0" * 15 + b"5", b"18446744073709551621", b"\xd9\xa5", b"5\r"]
    )
)
BODIES = st.sampled_from([b"hello", b"hell", b"", b"hello, hello", b"x" * 999, b"x" * 1000, b"x" * 1001, b"\r\n\r\nh"])
NOISE = st.just(b"") | st.sampled_from(
    [b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b"P", b"\x00", b"5\r\nhello\r\n0\r\n\r\n"]
)


@st.composite
def pieces(draw: st.DrawFn) -> list[bytes]:
    """A plain request often enough to be recognized, and between them anything, cut anywhere."""
    found: list[bytes] = []
    for _ in range(draw(st.integers(1, 6))):
        found.append(draw(st.just(HELLO) | st.builds(_message, st.sampled_from(HEADS), DIGITS, BODIES, NOISE)))
        if draw(st.integers(0, 4)) == 0:  # with something behind it
            found[-1] += draw(st.just(HELLO) | st.builds(_message, st.sampled_from(HEADS), DIGITS, BODIES, NOISE))
        if draw(st.integers(0, 4)) == 0:  # with one byte changed
            at = draw(st.integers(0, len(found[-1])))
            found[-1] = found[-1][:at] + draw(st.binary(max_size=2)) + found[-1][at + 1 :]
        if draw(st.integers(0, 4)) == 0:  # in two, and one of them again
            cut = draw(st.integers(0, len(found[-1])))
            parts = [found[-1][:cut], found[-1][cut:]]
            found[-1:] = parts + draw(st.sampled_from([[], parts[:1], parts[1:]]))
    return found


def _traced(trace: bytes, identity: bytes) -> bytes:
    return TRACED.replace(b"%t", trace).replace(b"%i", identity).replace(b"%b", b"0")


def _message(head: bytes, digits: bytes, body: bytes, noise: bytes) -> bytes:
    return noise + head.replace(b"%b", digits) + body


@settings(max_examples=400, deadline=None)
@given(pieces())
@example([HELLO, PLAIN % b"05" + b"hello", PLAIN % b"0", HELLO])
@example([HELLO, b"\r", HELLO, b"\n\r\n", HELLO])
@example([HELLO, HELLO + b"P", HELLO])
@example([HELLO[:9], HELLO[9:], HELLO[9:]])
@example([HELLO, HELLO[:-5], b"hello"])
@example([HELLO, HELLO[:-5], b"hell", b"o", HELLO])
@example([HELLO, HELLO[:-5], b"hello" + HELLO, HELLO])
@example([HELLO, HELLO[:-5], HELLO])
@example([HELLO[:-5], b"hello", HELLO[:-5], b"HELLO", HELLO[:-5], b"hello"])
@example([HELLO[:-5], b"hello", PLAIN % b"3", b"hel", PLAIN % b"7", b"hello, ", HELLO])
@example([b"\r\n" + HELLO[:-5], b"hello", b"\r\n" + HELLO[:-5], b"hello"])
@example([HELLO[:-5], b"hello" + HELLO[:-5], b"hello", HELLO])
def test_requests_and_refusals_are_the_same_with_memory_and_without(sent: list[bytes]) -> None:
    with_memory, without = both(*sent)

    assert with_memory == without


@pytest.mark.parametrize("first", range(len(HEADS)))
def test_no_head_is_taken_for_another(first: int) -> None:
    messages = [_message(head, b"5", b"hello", b"") for head in HEADS]
    found = [both(messages[first], messages[first], second, messages[first]) for second in messages]

    assert [with_memory for with_memory, _ in found] == [without for _, without in found]


@settings(deadline=None)
@given(DIGITS, BODIES)
def test_only_the_length_is_read_anew(digits: bytes, body: bytes) -> None:
    with_memory, without = both(HELLO, PLAIN % digits + body, HELLO)

    assert with_memory == without


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TRACED_HEADS), st.lists(st.tuples(IDS, IDS, DIGITS), min_size=1, max_size=5))
@example(TRACED_HEADS[3], [(b"ab", b"ab", b"5"), (b"ab", b"cd", b"5")])
@example(TRACED_HEADS[4], [(b"ab", b"ab", b"5"), (b"ab", b"cd", b"5")])
@example(TRACED_HEADS[1], [(b"ab", b"ab", b"5"), (b"ab", b"cd", b"5")])
def test_only_ids_and_the_length_are_read_anew(head: bytes, sent: list[tuple[bytes, bytes, bytes]]) -> None:
    filled = [head.replace(b"%t", t).replace(b"%i", i).replace(b"%b", digits) for t, i, digits in sent]
    usual = head.replace(b"%t", b"ab").replace(b"%i", b"cd").replace(b"%b", b"5")
    with_memory, without = both(usual + b"hello", *(each + b"hello" for each in filled), usual + b"hello")

    assert with_memory == without


def test_a_head_is_recognized_with_other_ids() -> None:
    client = Client(remembers=True)
    for i in range(10):
        client.send(_traced(b"00-%032x-%016x-01" % (i, i), b"id-%d" % i))

    assert client.recognized == 9
    assert [each.headers["x-request-id"] for each in client.requests] == [f"id-{i}" for i in range(10)]
    assert client.requests[7].headers["traceparent"] == f"00-{7:032x}-{7:016x}-01"


@pytest.mark.parametrize("other", [b"id-12", b"id-", b"id|1", b"id 1", b"id\r\n", b"\xc3\xa9id", b"----"])
def test_an_id_of_another_form_is_left_to_the_parser(other: bytes) -> None:
    head = Client(remembers=True).send(_traced(b"ab", b"id-1")).reader.remembered

    assert head is not None
    assert head.again(_traced(b"ab", other)) is None


def test_a_head_is_recognized_with_any_length() -> None:
    client = Client(remembers=True).send(HELLO, HELLO, PLAIN % b"12" + b"hello, hello", PLAIN % b"0", HELLO)

    assert client.recognized == 4
    assert [each.body for each in client.requests] == [b"hello", b"hello", b"hello, hello", b"", b"hello"]
    assert [each.headers["content-length"] for each in client.requests] == ["5", "5", "12", "0", "5"]


def test_a_head_that_came_in_pieces_is_recognized_when_it_came_whole_once() -> None:
    assert Client(remembers=True).send(HELLO[:9], HELLO[9:], HELLO, HELLO).recognized == 1


def test_each_request_has_headers_of_its_own() -> None:
    client = Client(remembers=True).send(HELLO, HELLO, HELLO)

    assert len({id(each.headers) for each in client.requests}) == 3


def test_a_request_that_is_recognized_was_received_now() -> None:
    client = Client(remembers=True).send(HELLO, HELLO, HELLO)

    assert client.requests[0].received < client.requests[1].received < client.requests[2].received


@pytest.mark.parametrize("data", [HELLO[:-1], HELLO + b"P", HELLO + HELLO, PLAIN % b"1001" + b"x" * 1001, b""])
def test_what_is_not_one_whole_request_is_left_to_the_parser(data: bytes) -> None:
    head = Client(remembers=True).send(HELLO).reader.remembered

    assert head is not None
    assert head.again(data) is None


@pytest.mark.parametrize(
    "line",
    [
        b"Expect: 100-continue",
        b"Connection: close",
        b"Connection: Upgrade\r\nUpgrade: websocket",
        b"X-Long: " + b"a" * 900 + b"".join(b"\r\nX-%d: " % i + b"a" * 900 for i in range(4)),
    ],
    ids=["expect", "close", "upgrade", "long"],
)
def test_what_is_not_plain_is_not_remembered(line: bytes) -> None:
    client = Client(remembers=True).send(PLAIN.replace(b"X-One: 1", line) % b"0")

    assert len(client.requests) == 1
    assert client.reader.remembered is None


@pytest.mark.parametrize(
    "message",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        HELLO + HELLO,
        HELLO + b"\r\n",
        b"\r\n\r\n" + HELLO,
    ],
    ids=["no length", "chunked", "1.0", "two", "something behind", "something before"],
)
def test_what_is_not_one_request_with_a_length_is_not_remembered(message: bytes) -> None:
    client = Client(remembers=True).send(message)

    assert client.requests
    assert client.reader.remembered is None


def test_a_head_without_its_body_is_recognized_and_the_body_needs_no_parser() -> None:
    pieces = [HELLO[:-5], b"hello", PLAIN % b"3", b"hel", PLAIN % b"5", b"HELLO"]
    client = Client(remembers=True).send(*pieces)
    fed: list[bytes] = []
    client.reader._parser = type("Parser", (), {"feed_data": lambda _, data: fed.append(data)})()
    client.send(*pieces)

    assert client.recognized == 5
    assert [each.body for each in client.requests] == [b"hello", b"hel", b"HELLO"] * 2
    assert fed == []


def test_the_body_of_a_head_that_was_recognized_may_come_in_any_pieces() -> None:
    client = Client(remembers=True).send(HELLO, HELLO[:-5], b"he", b"llo", HELLO)
    waiting = Client(remembers=True).send(HELLO, HELLO[:-5])

    assert [each.body for each in client.requests] == [b"hello"] * 3
    assert waiting.reader.known() is waiting.reader.request


def test_a_request_was_received_with_its_head_however_its_body_came() -> None:
    client = Client(remembers=True).send(HELLO, HELLO[:-5])
    waiting = client.reader.known().received
    client.send(b"he", b"llo")

    assert client.requests[-1].received == waiting


def test_a_head_that_is_too_long_to_be_remembered_is_not_kept_until_its_body_is_there() -> None:
    long = PLAIN.replace(b"X-One: 1", b"".join(b"X-%d: " % i + b"a" * 900 + b"\r\n" for i in range(5)) + b"X-One: 1")
    kept = [len(Client(remembers=True).send(head % b"5").reader._head) for head in (PLAIN, long)]

    assert kept == [len(PLAIN % b"5"), 0]


def test_the_end_of_a_head_is_not_remembered_as_one() -> None:
    client = Client(remembers=True).send(HELLO[:9], HELLO[9:])

    assert len(client.requests) == 1
    assert client.reader.remembered is None


def test_a_request_that_ends_the_connection_is_behind_no_border() -> None:
    client = Client(remembers=True).send(HELLO, PLAIN.replace(b"X-One: 1", b"Connection: close") % b"0")

    assert not client.reader.is_between


@pytest.mark.parametrize("begun", [b"P", HELLO[:30], HELLO[:-1]])
def test_within_a_request_there_is_no_border(begun: bytes) -> None:
    assert not Client(remembers=True).send(HELLO, begun).reader.is_between


def test_a_client_whose_heads_never_repeat_is_not_remembered_for_ever() -> None:
    client = Client(remembers=True)
    remembered: list[RememberedHead | None] = []
    for i in range(10):
        client.send(PLAIN.replace(b"X-One: 1", b"X-One: %d" % i) % b"0")
        remembered.append(client.reader.remembered)

    assert len(set(remembered)) == 4


def test_a_client_that_changes_its_head_now_and_then_is_remembered_each_time() -> None:
    client = Client(remembers=True)
    for i in range(10):
        client.send(*[PLAIN.replace(b"X-One: 1", b"X-One: %d" % i) % b"0"] * 3)

    assert client.recognized == 20
