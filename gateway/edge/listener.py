"""
One port for HTTP/1.1 and HTTP/2: which of them a connection speaks is found out here, and then it is handed over.

Over TLS the client has said so by ALPN before the first byte; one that says nothing gets HTTP/1.1. In clear text only
HTTP/2 "with prior knowledge" exists, which begins with a preface that no HTTP/1.1 request can begin with. What was read
to find out is handed over with the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["PREFACE", "ProtocolFactory", "one_port"]

ProtocolFactory: TypeAlias = Callable[[], asyncio.Protocol]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def one_port(http1: ProtocolFactory, http2: ProtocolFactory, *, is_tls: bool, silence: float) -> ProtocolFactory:
    """
    Makes a protocol per accepted connection that makes way for one of ``http1`` or ``http2``.

    ``silence`` is how many seconds a clear-text connection may take to show which.
    """
    if is_tls:
        return lambda: _ByAlpn(http1, http2)
    return lambda: _ByPreface(http1, http2, silence)


class _ByAlpn(asyncio.Protocol):
    def __init__(self, http1: ProtocolFactory, http2: ProtocolFactory) -> None:
        self._http1, self._http2 = http1, http2

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        chosen = self._http2 if tls is not None and tls.selected_alpn_protocol() == "h2" else self._http1
        _hand_over(transport, chosen())


class _ByPreface(asyncio.Protocol):
    def __init__(self, http1: ProtocolFactory, http2: ProtocolFactory, silence: float) -> None:
        self._http1, self._http2, self._silence = http1, http2, silence
        self._transport: asyncio.BaseTransport
        self._timer: asyncio.TimerHandle
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(self._silence, transport.close)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.startswith(PREFACE):
            chosen = self._http2()
        elif not PREFACE.startswith(self._seen):
            chosen = self._http1()
        else:
            return
        self._timer.cancel()
        _hand_over(self._transport, chosen)
        chosen.data_received(self._seen)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._timer.cancel()


def _hand_over(transport: asyncio.BaseTransport, protocol: asyncio.Protocol) -> None:
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
