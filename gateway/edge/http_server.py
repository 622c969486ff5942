"""
HTTP/1.1 over TLS, by aiohttp: fills ``HttpRequest``, writes ``HttpResponse``, and nothing else.

aiohttp's low-level server is used rather than its Application, and answers are written as one block of bytes instead
of through ``web.Response``: together half of the cost of a small request. A client that disconnects cancels its
handler, so that its rows leave the queue.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any, cast
from urllib.parse import unquote

import structlog
from aiohttp import HttpVersion11, web

from gateway.core.errors import GatewayError, InvalidInput, TooLarge
from gateway.edge.config import EdgeConfig
from gateway.edge.errors import SlowRequest
from gateway.edge.http_answer import DateHeader, encode_answer, path_and_query
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.listener import ProtocolFactory, one_port

__all__ = ["HttpServer"]

log = structlog.get_logger()

_LINGER_S = 2.0
"""How long the rest of a refused body is read and dropped, so that the client sees the answer and not a reset."""
_DRAIN_ABOVE = 64 * 1024
"""Answers from this size on wait until the client has read enough."""
_CLOSE_S = 1.0
"""How long the last answer's bytes may take to leave, once it is there."""
_CUT_S = 0.05
"""The same for requests that are out of time: then they are cancelled."""
_LAST_TURNS = 3
"""Turns of the loop in which a drain still takes what the kernel had already received."""


class HttpServer:
    """
    Listens from ``start`` until ``drain``. ``ssl_context`` None serves plain HTTP, for tests and for meshes.

    With ``http2`` the port takes HTTP/2 too; such connections are that factory's, and draining them is not done here.
    """

    def __init__(
        self,
        config: EdgeConfig,
        exchange: HttpExchange,
        ssl_context: ssl.SSLContext | None,
        http2: ProtocolFactory | None = None,
    ) -> None:
        self._config, self._exchange, self._ssl_context, self._http2 = config, exchange, ssl_context, http2
        self._max_body = config.max_body_bytes
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._in_flight = 0
        self._is_draining = False
        self._idle = asyncio.Event()
        self._date = DateHeader(time.time)

    @property
    def port(self) -> int:
        """The port that is listened on, also when the configuration left it to the kernel with 0."""
        if self._listener is None:
            raise RuntimeError("the server is not started")
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Accepts connections from the moment this returns. Several processes may listen on one port."""
        config = self._config
        self._web = web.Server(
            cast("Any", self._handle),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=config.idle_timeout_ms / 1000,
            lingering_time=_LINGER_S,
            max_line_size=config.max_header_bytes,
            max_field_size=config.max_header_bytes,
        )
        factory: ProtocolFactory = self._web
        if self._http2 is not None:
            is_tls, silence = self._ssl_context is not None, config.idle_timeout_ms / 1000
            factory = one_port(factory, self._http2, is_tls=is_tls, silence=silence)
        self._listener = await asyncio.get_running_loop().create_server(
            factory,
            config.host,
            config.http_port,
            ssl=self._ssl_context,
            backlog=config.backlog,
            reuse_port=True,
        )
        log.info("edge.http_listening", port=self.port, tls=self._ssl_context is not None)

    async def drain(self, grace: float) -> None:
        """
        Stop accepting, answer what has arrived with ``Connection: close``, then close; at most ``grace`` seconds long.

        A connection that is idle when all is answered is closed without a word, as HTTP/1.1 allows.
        """
        if self._listener is None or self._web is None:
            return
        self._is_draining = True
        self._listener.close()
        close_s = _CLOSE_S
        try:
            async with asyncio.timeout(grace):
                for _ in range(_LAST_TURNS):
                    await asyncio.sleep(0)
                while self._in_flight:
                    self._idle.clear()
                    await self._idle.wait()
                    for _ in range(_LAST_TURNS):
                        await asyncio.sleep(0)
        except TimeoutError:
            close_s = _CUT_S
            log.warning("edge.http_drain_cut", in_flight=self._in_flight)
        # What is left now is idle, or out of time: cancelled, and its connection closed.
        self._web.pre_shutdown()
        await self._web.shutdown(timeout=close_s)

    async def _handle(self, raw: web.BaseRequest) -> _Reply:
        self._in_flight += 1
        try:
            path, query = path_and_query(raw.raw_path)
            if "%" in path:
                path = unquote(path)
            headers = raw.headers
            peer = raw.remote or ""
            request = HttpRequest(raw.method, path, query, cast("Any", headers), b"", peer)
            content = raw.content
            is_whole = True
            if content.is_eof():
                request.body = content.read_nowait()
                if len(request.body) > self._max_body:
                    response = self._exchange.refuse(request, self._too_large())
                else:
                    response = await self._exchange(request)
            else:
                try:
                    request.body = await self._body(raw)
                except GatewayError as error:
                    is_whole = False
                    response = self._exchange.refuse(request, error)
                else:
                    response = await self._exchange(request)
            return self._reply(raw, response, is_whole)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

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
            async with asyncio.timeout(self._config.body_timeout_ms / 1000):
                while part := await raw.content.readany():
                    size += len(part)
                    if size > self._max_body:
                        raise self._too_large()
                    parts.append(part)
        except web.RequestPayloadError as error:
            raise InvalidInput("the body is not framed as its headers say") from error
        except TimeoutError as error:
            raise SlowRequest(f"the body did not arrive within {self._config.body_timeout_ms} ms") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"expected a body of at most {self._max_body} bytes")

    def _reply(self, raw: web.BaseRequest, response: HttpResponse, is_whole: bool) -> _Reply:
        keep_alive = raw.keep_alive and is_whole and not self._is_draining
        connection = ""
        if not keep_alive:
            connection = "close"
        elif raw.version < HttpVersion11:
            connection = "keep-alive"
        data = encode_answer(response, self._date(), connection, has_body=raw.method != "HEAD")
        return _Reply(raw, data, response.status, keep_alive)


class _Reply:
    """
    What aiohttp needs of a response (``prepare``, ``write_eof``, ``keep_alive``), and no more.

    tests/contract/test_http_server.py holds aiohttp to that.
    """

    __slots__ = ("_data", "_raw", "keep_alive", "status")

    def __init__(self, raw: web.BaseRequest, data: bytes, status: int, keep_alive: bool) -> None:
        self._raw, self._data, self.status, self.keep_alive = raw, data, status, keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is sent before the whole answer is."""

    async def write_eof(self) -> None:
        _transport(self._raw).write(self._data)
        if len(self._data) > _DRAIN_ABOVE:
            await self._raw.writer.drain()


def _transport(raw: web.BaseRequest) -> asyncio.WriteTransport:
    transport = raw.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    return transport
