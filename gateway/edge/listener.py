"""
One port for HTTP/1.1 and HTTP/2: which of them a connection speaks is found out here, and then it is handed over.

Over TLS the client has said so by ALPN before the first byte; one that says nothing gets HTTP/1.1. In clear text only
HTTP/2 "with prior knowledge" exists, which begins with a preface that no HTTP/1.1 request can begin with. What was read
to find out is handed over with the connection.

Until then a connection is nobody's but this port's, so it is here that a drain learns of it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["PREFACE", "OnePort", "ProtocolFactory"]

ProtocolFactory: TypeAlias = Callable[[], asyncio.Protocol]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class OnePort:
    """
    Makes a protocol per accepted connection that makes way for one of ``http1`` or ``http2``.

    ``silence`` is how many seconds a clear-text connection may take to show which. ``on_secured`` is called after each
    handshake, ``on_change`` when ``is_expecting`` may have become false.
    """

    def __init__(
        self,
        http1: ProtocolFactory,
        http2: ProtocolFactory | None,
        *,
        is_tls: bool,
        silence: float,
        on_secured: Callable[[], None] = lambda: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.http1, self.http2, self.silence = http1, http2, silence
        self._is_tls, self._on_secured, self._on_change = is_tls, on_secured, on_change
        self._expected: set[weakref.ref[_ByAlpn]] = set()
        """Whose handshake is not over. By weak references, as nobody is told of one that fails: it is let go of."""
        self._undecided: set[_ByPreface] = set()

    def __call__(self) -> asyncio.Protocol:
        if self._is_tls:
            protocol = _ByAlpn(self)
            self._expected.add(weakref.ref(protocol, self._forget))
            return protocol
        return self.http1() if self.http2 is None else _ByPreface(self, self.http2)

    @property
    def is_expecting(self) -> bool:
        """Whether a client is in the middle of TLS's handshake, and has a connection soon."""
        return bool(self._expected)

    def close(self) -> None:
        """Leave those in clear text that have not said what they speak."""
        for protocol in list(self._undecided):
            protocol.close()

    # For the protocols below.

    def secured(self, protocol: _ByAlpn) -> None:
        self._on_secured()
        self._forget(weakref.ref(protocol))

    def waits(self, protocol: _ByPreface) -> None:
        self._undecided.add(protocol)

    def decided(self, protocol: _ByPreface) -> None:
        self._undecided.discard(protocol)

    def _forget(self, reference: weakref.ref[_ByAlpn]) -> None:
        self._expected.discard(reference)
        if not self._expected:
            self._on_change()


class _ByAlpn(asyncio.Protocol):
    __slots__ = ("__weakref__", "_port")

    def __init__(self, port: OnePort) -> None:
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        port = self._port
        tls = transport.get_extra_info("ssl_object")
        is_http2 = port.http2 is not None and tls is not None and tls.selected_alpn_protocol() == "h2"
        make = port.http2 if is_http2 and port.http2 is not None else port.http1
        port.secured(self)
        _hand_over(transport, make())


class _ByPreface(asyncio.Protocol):
    __slots__ = ("_http2", "_port", "_seen", "_timer", "_transport")

    def __init__(self, port: OnePort, http2: ProtocolFactory) -> None:
        self._port, self._http2 = port, http2
        self._transport: asyncio.BaseTransport
        self._timer: asyncio.TimerHandle
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(self._port.silence, transport.close)
        self._port.waits(self)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.startswith(PREFACE):
            chosen = self._http2()
        elif not PREFACE.startswith(self._seen):
            chosen = self._port.http1()
        else:
            return
        self._leave()
        _hand_over(self._transport, chosen)
        chosen.data_received(self._seen)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._leave()

    def close(self) -> None:
        self._transport.close()

    def _leave(self) -> None:
        self._timer.cancel()
        self._port.decided(self)


def _hand_over(transport: asyncio.BaseTransport, protocol: asyncio.Protocol) -> None:
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
