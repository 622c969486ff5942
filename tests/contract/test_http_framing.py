"""Where one request ends and the next begins must be beyond doubt: what is ambiguous is refused, and ends there."""

from __future__ import annotations

import pytest

from gateway.edge.config import EdgeConfig
from tests.support.edge_app import serving
from tests.support.edge_service import FakeCore
from tests.support.http_wire import BODY, connected, post

pytestmark = pytest.mark.usefixtures("http_engine")

CONFIG = EdgeConfig(host="127.0.0.1", http_port=0, max_body_bytes=1000, max_header_bytes=2048)
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def request(*headers: str, body: bytes = BODY, first: str = "POST /score HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: localhost", *headers, "", ""]).encode("latin-1") + body


LENGTH = f"Content-Length: {len(BODY)}"
AMBIGUOUS = {
    "a length and chunks": request(LENGTH, CHUNKED, body=CHUNKS),
    "chunks and a length": request(CHUNKED, LENGTH, body=CHUNKS),
    "two lengths": request(LENGTH, "Content-Length: 5"),
    "the same length twice": request(LENGTH, LENGTH),
    "a list of lengths": request(f"Content-Length: {len(BODY)}, {len(BODY)}"),
    "a length with a sign": request(f"Content-Length: +{len(BODY)}"),
    "a length with a space": request("Content-Length: 3 3"),
    "a negative length": request("Content-Length: -1"),
    "a length beyond any integer": request("Content-Length: 99999999999999999999999999"),
    "an unknown transfer encoding": request("Transfer-Encoding: xchunked", body=CHUNKS),
    "chunks that are not the last encoding": request("Transfer-Encoding: chunked, identity", body=CHUNKS),
    "chunks twice": request(CHUNKED, CHUNKED, body=CHUNKS),
    "a space before the colon": request(f"Content-Length : {len(BODY)}"),
    "a name with a parenthesis": request(LENGTH, "X(y: 1"),
    "a name that is empty": request(LENGTH, ": 1"),
    "a folded line": request(LENGTH, "X-Folded: a\r\n b"),
    "a bare carriage return": request(LENGTH, "X-Broken: a\rX-Other: b"),
    "a zero byte": request(LENGTH, "X-Zero: a\0b"),
    "a line before the first": b"POST /score HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "a chunk size with a sign": request(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": request(CHUNKED, body=b"3\r\nhello\r\n0\r\n\r\n"),
    "two hosts": request(LENGTH, "Host: elsewhere"),
    "an unknown version": request(LENGTH, first="POST /score HTTP/1.9x"),
    "a target with a space": request(LENGTH, first="POST /score /score HTTP/1.1"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_a_request_whose_end_is_in_doubt_is_a_400_and_the_last(name: str) -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(AMBIGUOUS[name] + post())
        status = (await wire.answer())[0]
        rest = await wire.rest()

    assert (status, rest) == (400, b"")
    assert edge.core.received == []
