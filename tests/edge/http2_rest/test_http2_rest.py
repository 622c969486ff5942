"""An HTTP/2 request as the exchange sees it, and its answer as HTTP/2 sends it."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.core.access import ClientCertificate
from gateway.core.errors import GatewayError, TooLarge
from gateway.edge.errors import HeaderTooLarge, SlowRequest
from gateway.edge.http2_rest import RestOverHttp2
from gateway.edge.http_message import HttpRequest, HttpResponse
from h2grpc import OtherAnswer, OtherRequest

LIMITS: dict[str, Any] = {"max_body_bytes": 10, "max_header_bytes": 2048, "body_timeout_ms": 500}


class Exchange:
    def __init__(self, response: HttpResponse) -> None:
        self.response = response
        self.asked: list[HttpRequest] = []
        self.refused: list[GatewayError] = []

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        self.asked.append(request)
        return self.response

    def refuse(self, request: HttpRequest, error: GatewayError) -> HttpResponse:
        self.refused.append(error)
        return HttpResponse(413, b"too much")


def request(**changes: object) -> OtherRequest:
    asked = OtherRequest(
        1, b"POST", b"/a%20b?c=%41", b"diamonds.example", ((b"accept", b"a"), (b"accept", b"b")), b"hello"
    )
    for name, value in changes.items():
        setattr(asked, name, value)
    return asked


async def asked_of(other: OtherRequest) -> HttpRequest:
    exchange = Exchange(HttpResponse(200, b"[1]"))
    await RestOverHttp2(exchange, **LIMITS)(other)  # type: ignore[arg-type]
    return exchange.asked[0]


async def answer_to(response: HttpResponse) -> OtherAnswer:
    return await RestOverHttp2(Exchange(response), **LIMITS)(request())  # type: ignore[arg-type]


async def test_a_request_is_what_it_would_be_over_http_1_1() -> None:
    seen = await asked_of(request())

    assert (seen.method, seen.path, seen.query, seen.body) == ("POST", "/a b", "c=%41", b"hello")
    assert seen.headers == {"host": "diamonds.example", "accept": "a"}


@pytest.mark.parametrize(
    ("peer", "host"),
    [("ipv4:10.0.0.7:51234", "10.0.0.7"), ("ipv6:%5B::1%5D:51234", "::1"), ("unix:", "")],
)
async def test_a_peer_is_an_address(peer: str, host: str) -> None:
    assert (await asked_of(request(peer=peer))).peer == host


async def test_an_answer_has_lower_case_headers_and_none_of_a_connection() -> None:
    answer = await answer_to(HttpResponse(200, b"[1]", headers=[("X-Name", "x")], id="7", timing="y"))
    headers = dict(answer.headers)

    assert (answer.status, answer.body) == (200, b"[1]")
    assert headers.pop(b"date")
    assert headers == {
        b"content-type": b"application/json",
        b"content-length": b"3",
        b"x-name": b"x",
        b"x-request-id": b"7",
        b"server-timing": b"y",
    }


async def test_no_content_has_neither_length_nor_type() -> None:
    answer = await answer_to(HttpResponse(204, content_type=""))

    assert [name for name, _ in answer.headers] == [b"date"]


async def test_a_body_over_the_limit_is_not_worked_on() -> None:
    exchange = Exchange(HttpResponse(200))
    answer = await RestOverHttp2(exchange, **(LIMITS | {"max_body_bytes": 4}))(request())  # type: ignore[arg-type]

    assert (answer.status, len(exchange.refused), exchange.asked) == (413, 1, [])


@pytest.mark.parametrize(
    ("refusal", "error", "words"),
    [(408, SlowRequest, "within 500 ms"), (413, TooLarge, "at most 10 bytes"), (431, HeaderTooLarge, "2048 bytes")],
)
def test_what_could_not_be_taken_whole_is_refused_in_the_words_of_http_1_1(
    refusal: int, error: type[GatewayError], words: str
) -> None:
    exchange = Exchange(HttpResponse(200))
    answer = RestOverHttp2(exchange, **LIMITS).refuse(request(refusal=refusal))  # type: ignore[arg-type]

    assert (answer.body, [type(each) for each in exchange.refused]) == (b"too much", [error])
    assert words in str(exchange.refused[0])


def test_a_server_that_holds_as_much_as_it_may_says_no_more_than_that() -> None:
    exchange = Exchange(HttpResponse(200))
    answer = RestOverHttp2(exchange, **LIMITS).refuse(request(refusal=503))  # type: ignore[arg-type]

    assert (answer.status, answer.body, exchange.refused) == (503, b"", [])


async def test_a_request_has_the_certificate_of_its_connection() -> None:
    shown = {"x509_pem_cert": [b"pem"], "x509_common_name": [b"scorer"]}

    assert (await asked_of(request(auth_context=shown))).certificate == ClientCertificate("scorer")


async def test_a_line_break_in_a_header_of_ours_is_never_sent() -> None:
    with capture_logs() as logs:
        answer = await answer_to(HttpResponse(200, headers=[("x-name", "a\r\nb")]))

    assert (answer.status, list(answer.headers)) == (500, [])
    assert [entry["event"] for entry in logs] == ["edge.answer_broken"]
