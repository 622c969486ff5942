"""
One port for HTTP/1.1 and HTTP/2: which of them a connection speaks is found out here, and then it is handed over.

Over TLS the client has said so by ALPN before the first byte; one that says nothing gets HTTP/1.1. In clear text only
HTTP/2 "with prior knowledge" exists, which begins with a preface that no HTTP/1.1 request can begin with. Until that is
decided the connection is one of the HTTP/1.1 engine's, whose limits also hold for a client that says nothing at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias, cast

__all__ = ["PREFACE", "ProtocolFactory", "one_port"]

ProtocolFactory: TypeAlias = Callable[[], asyncio.Protocol]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def one_port(http1: ProtocolFactory, http2: ProtocolFactory, *, is_tls: bool) -> ProtocolFactory:
    """Makes a protocol per accepted connection that makes way for one of ``http1`` or ``http2``."""
    kind = _ByAlpn if is_tls else _ByPreface
    return lambda: kind(http1, http2)


class _ByAlpn(asyncio.Protocol):
    def __init__(self, http1: ProtocolFactory, http2: ProtocolFactory) -> None:
        self._http1, self._http2 = http1, http2

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        chosen = self._http2 if tls is not None and tls.selected_alpn_protocol() == "h2" else self._http1
        _hand_over(transport, chosen())


class _ByPreface(asyncio.Protocol):
    def __init__(self, http1: ProtocolFactory, http2: ProtocolFactory) -> None:
        self._http1, self._http2 = http1(), http2
        self._transport: asyncio.BaseTransport
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._http1.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.startswith(PREFACE):
            self._http1.connection_lost(None)
            http2 = self._http2()
            _hand_over(self._transport, http2)
            http2.data_received(self._seen)
        elif not PREFACE.startswith(self._seen):
            cast("asyncio.Transport", self._transport).set_protocol(self._http1)
            self._http1.data_received(self._seen)

    def eof_received(self) -> bool | None:
        return self._http1.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._http1.connection_lost(exc)


def _hand_over(transport: asyncio.BaseTransport, protocol: asyncio.Protocol) -> None:
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
