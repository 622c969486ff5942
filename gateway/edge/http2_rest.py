"""
REST over HTTP/2: requests that come to the gRPC engine and are no gRPC, answered by the same exchange.

An answer has the headers that it has over HTTP/1.1, but those that are about an HTTP/1.1 connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from urllib.parse import unquote

import structlog

from gateway.core.errors import GatewayError, TooLarge
from gateway.edge.errors import HeaderTooLarge, SlowRequest
from gateway.edge.http_answer import http_date, path_and_query
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.peer_certificate import certificate_in
from h2grpc import OtherAnswer, OtherRequest

__all__ = ["RestOverHttp2"]

log = structlog.get_logger()


class RestOverHttp2:
    """An ``other_requests`` handler of ``h2grpc``."""

    def __init__(
        self, exchange: HttpExchange, *, max_body_bytes: int, max_header_bytes: int, body_timeout_ms: int
    ) -> None:
        self._exchange, self._max_body = exchange, max_body_bytes
        self._refusals: Mapping[int, Callable[[], GatewayError]] = {
            408: lambda: SlowRequest(f"the body did not arrive within {body_timeout_ms} ms"),
            413: lambda: TooLarge(f"expected a body of at most {max_body_bytes} bytes"),
            431: lambda: HeaderTooLarge(f"expected headers of at most {max_header_bytes} bytes together"),
        }

    def refuse(self, other: OtherRequest) -> OtherAnswer:
        """The answer to a request that could not be taken whole; a ``refuse_other`` of ``h2grpc``."""
        if (make := self._refusals.get(other.refusal)) is None:
            return OtherAnswer(other.refusal)  # the server holds as much as it may: not the time for more words
        request = _request(other)
        return self._answer(request, self._exchange.refuse(request, make()))

    async def __call__(self, other: OtherRequest) -> OtherAnswer:
        request = _request(other)
        if len(other.body) > self._max_body:
            return self._answer(request, self._exchange.refuse(request, self._refusals[413]()))
        return self._answer(request, await self._exchange(request))

    def _answer(self, request: HttpRequest, response: HttpResponse) -> OtherAnswer:
        headers = [(b"date", http_date(int(time.time())).encode())]
        if response.content_type:
            headers.append((b"content-type", response.content_type.encode("latin-1", "replace")))
        if response.status != 204:
            headers.append((b"content-length", str(len(response.body)).encode()))
        for name, value in response.all_headers():
            if "\r" in value or "\n" in value:
                log.error("edge.answer_broken", request_id=request.id, header=name)
                return OtherAnswer(500)
            headers.append((name.lower().encode("latin-1"), value.encode("latin-1", "replace")))
        return OtherAnswer(response.status, headers, response.body)


def _request(other: OtherRequest) -> HttpRequest:
    headers: dict[str, str] = {}
    for name, value in other.headers:
        headers.setdefault(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
    if other.authority:
        headers["host"] = other.authority.decode("latin-1")
    path, query = path_and_query(other.path.decode("latin-1"))
    if "%" in path:
        path = unquote(path)
    request = HttpRequest(other.method.decode("latin-1"), path, query, headers, other.body, _host(other.peer))
    if other.auth_context:
        request.certificate = certificate_in(other.auth_context)
    return request


def _host(peer: str) -> str:
    """The bare address of ``ipv4:10.0.0.7:51234`` or ``ipv6:%5B::1%5D:51234``; empty for a Unix socket."""
    family, _, address = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return ""
    return unquote(address.rpartition(":")[0]).strip("[]")
