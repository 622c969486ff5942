"""
HTTP/1.1 over TLS, by aiohttp: fills ``HttpRequest``, writes ``HttpResponse``, and nothing else.

aiohttp's low-level server is used rather than its Application, and answers are written as one block of bytes instead
of through ``web.Response``: together half of the cost of a small request. A client that disconnects cancels its
handler, so that its rows leave the queue.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast
from urllib.parse import unquote

from aiohttp import HttpVersion11, web

from gateway.core.errors import GatewayError, InvalidInput, Overloaded, TooLarge
from gateway.edge.config import EdgeConfig
from gateway.edge.connection_limit import PerAddress
from gateway.edge.errors import SlowRequest
from gateway.edge.http_answer import encode_answer, path_and_query
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_listener import LINGER_S, HttpListener
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.listener import ProtocolFactory
from gateway.edge.peer_certificate import certificate_of

__all__ = ["HttpServer"]

_DRAIN_ABOVE = 64 * 1024
"""Answers from this size on wait until the client has read enough."""


class HttpServer(HttpListener):
    engine = "aiohttp"

    def __init__(
        self,
        config: EdgeConfig,
        exchange: HttpExchange,
        ssl_context: ssl.SSLContext | None,
        http2: ProtocolFactory | None = None,
    ) -> None:
        super().__init__(config, exchange, ssl_context, http2)
        self._max_body, self._body_s = config.max_body_bytes, config.body_timeout_ms / 1000
        self._asks_for_certificate = ssl_context is not None and ssl_context.verify_mode is not ssl.CERT_NONE
        self._web: web.Server
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def protocol_factory(self) -> ProtocolFactory:
        config = self.config
        self._web = _Web(
            cast("Any", self._handle),
            PerAddress(config.max_connections_per_address),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=config.idle_timeout_ms / 1000,
            lingering_time=LINGER_S,
            max_line_size=config.max_header_bytes,
            max_field_size=config.max_header_bytes,
        )
        return self._web

    async def _close(self, seconds: float) -> None:
        self._web.pre_shutdown()
        await self._web.shutdown(timeout=seconds)

    async def _handle(self, raw: web.BaseRequest) -> _Reply:
        self._in_flight += 1
        try:
            path, query = path_and_query(raw.raw_path)
            if "%" in path:
                path = unquote(path)
            headers = raw.headers
            peer = raw.remote or ""
            request = HttpRequest(raw.method, path, query, cast("Any", headers), b"", peer)
            if self._asks_for_certificate:
                request.certificate = certificate_of(_transport(raw))
            content = raw.content
            is_whole = True
            if content.is_eof():
                request.body = content.read_nowait()
                if len(request.body) > self._max_body:
                    response = self.exchange.refuse(request, self._too_large())
                else:
                    response = await self.exchange(request)
            else:
                try:
                    request.body = await self._body(raw)
                except GatewayError as error:
                    is_whole = False
                    response = self.exchange.refuse(request, error)
                else:
                    response = await self.exchange(request)
            return self._reply(raw, response, is_whole)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._changed.set()

    async def _body(self, raw: web.BaseRequest) -> bytes:
        """A body that had not arrived whole with its headers."""
        declared = raw.content_length
        if declared is not None and declared > self._max_body:
            raise self._too_large()
        if raw.headers.get("expect", "").lower() == "100-continue":
            _transport(raw).write(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_s):
                while part := await raw.content.readany():
                    size += len(part)
                    self.held += len(part)
                    if size > self._max_body:
                        raise self._too_large()
                    if self.held > self.config.max_in_flight_bytes:
                        raise Overloaded(f"{self.held} bytes of unfinished requests are held")
                    parts.append(part)
        except web.RequestPayloadError as error:
            raise InvalidInput("the body is not framed as its headers say") from error
        except TimeoutError as error:
            raise SlowRequest(f"the body did not arrive within {self.config.body_timeout_ms} ms") from error
        finally:
            self.held -= size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"expected a body of at most {self._max_body} bytes")

    def _reply(self, raw: web.BaseRequest, response: HttpResponse, is_whole: bool) -> _Reply:
        keep_alive = raw.keep_alive and is_whole and not self.is_draining
        connection = ""
        if not keep_alive:
            connection = "close"
        elif raw.version < HttpVersion11:
            connection = "keep-alive"
        data = encode_answer(response, self.clock(), connection, has_body=raw.method != "HEAD")
        return _Reply(raw, data, response.status, keep_alive, self._body_s)


class _Web(web.Server):
    """Counts connections by address."""

    def __init__(self, handler: Any, places: PerAddress, **settings: Any) -> None:
        super().__init__(handler, **settings)
        self._places = places
        self._peers: dict[Any, str] = {}

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        if self._places.enters(address):
            self._peers[handler] = address
        else:
            transport.abort()

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        address = self._peers.pop(handler, None)
        if address is not None:
            self._places.left(address)


class _Reply:
    """
    What aiohttp needs of a response (``prepare``, ``write_eof``, ``keep_alive``), and no more.

    tests/contract/test_http_server.py holds aiohttp to that.
    """

    __slots__ = ("_data", "_raw", "_seconds", "keep_alive", "status")

    def __init__(self, raw: web.BaseRequest, data: bytes, status: int, keep_alive: bool, seconds: float) -> None:
        self._raw, self._data, self._seconds = raw, data, seconds
        self.status, self.keep_alive = status, keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is sent before the whole answer is."""

    async def write_eof(self) -> None:
        transport = _transport(self._raw)
        transport.write(self._data)
        if len(self._data) > _DRAIN_ABOVE:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._raw.writer.drain()
            except TimeoutError:
                transport.abort()


def _transport(raw: web.BaseRequest) -> asyncio.WriteTransport:
    transport = raw.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    return transport
