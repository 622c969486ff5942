"""Which HTTP engine serves: the one place that knows both."""

from __future__ import annotations

import ssl
from typing import Protocol

import msgspec
import structlog

from gateway.edge.config import EdgeConfig
from gateway.edge.http1 import Http1Server
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_server import HttpServer
from gateway.edge.listener import ProtocolFactory

__all__ = ["HttpEngine", "http_server", "plain_server"]

log = structlog.get_logger()

_LOOPBACK = "127.0.0.1"


class HttpEngine(Protocol):
    """What both engines are to the rest of the gateway."""

    @property
    def port(self) -> int: ...

    async def start(self) -> None: ...

    async def drain(self, grace: float) -> None: ...


def http_server(
    config: EdgeConfig,
    exchange: HttpExchange,
    ssl_context: ssl.SSLContext | None,
    http2: ProtocolFactory | None = None,
) -> HttpEngine:
    """The engine that ``config.http_engine`` names, not started; its port takes HTTP/2 too if there is ``http2``."""
    engine = Http1Server if config.http_engine == "httptools" else HttpServer
    return engine(config, exchange, ssl_context, http2)


def plain_server(config: EdgeConfig, exchange: HttpExchange, http2: ProtocolFactory | None = None) -> HttpEngine | None:
    """The listener without TLS, not started; None unless ``config`` asks for it in words."""
    if config.plaintext == "none" or config.plaintext_port is None:
        return None
    host, tell = (_LOOPBACK, log.info) if config.plaintext == "loopback" else (config.host, log.warning)
    tell("edge.plaintext", host=host, port=config.plaintext_port)
    return http_server(
        msgspec.structs.replace(config, host=host, http_port=config.plaintext_port), exchange, None, http2
    )
