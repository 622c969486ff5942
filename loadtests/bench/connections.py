"""
What an idle TLS connection costs the gateway in resident memory.

Each connection has asked for one thing and waits: what it needed for its handshake is over by then. A few come first
and are not counted, as they pay for what all share.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import ngh2

from loadtests.bench.cpu import resident_mb

__all__ = ["Held", "held_by_connections"]

WARM_UP_CONNECTIONS = 50
PATH = b"/v2/health/live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Kilobytes of the gateway for each of many connections."""

    protocol: str
    connections: int
    kilobytes: float


def held_by_connections(
    port: int, context: Callable[[], ssl.SSLContext], gateway: Sequence[int], *, connections: int
) -> list[Held]:
    """One figure each for HTTP/1.1 and HTTP/2; ``gateway`` are its processes. Raises ``ConnectionError``."""
    found = []
    for protocol, ask in (("http/1.1", _ask_http1), ("h2", _ask_http2)):
        tls = context()
        tls.set_alpn_protocols([protocol])
        with ExitStack() as stack:
            before = 0.0
            for number in range(WARM_UP_CONNECTIONS + connections):
                if number == WARM_UP_CONNECTIONS:
                    before = resident_mb(gateway)
                plain = socket.create_connection(("127.0.0.1", port), timeout=10)
                channel = stack.enter_context(tls.wrap_socket(plain, server_hostname="127.0.0.1"))
                if channel.selected_alpn_protocol() != protocol:
                    raise ConnectionError(f"expected a server that speaks {protocol}")
                ask(channel)
            held = resident_mb(gateway) - before
        found.append(Held(protocol=protocol, connections=connections, kilobytes=held * 2**20 / 1000 / connections))
    return found


def _ask_http1(channel: ssl.SSLSocket) -> None:
    channel.sendall(b"GET " + PATH + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    if not channel.recv(65536).startswith(b"HTTP/1.1 200 "):
        raise ConnectionError("expected 200")


def _ask_http2(channel: ssl.SSLSocket) -> None:
    engine = ngh2.Connection(ngh2.Role.CLIENT)
    engine.initiate_connection()
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", PATH)]
    stream = engine.send_request(fields, end_stream=True)
    while True:
        if data := engine.data_to_send():
            channel.sendall(data)
        engine.receive_data(channel.recv(65536))
        for event in engine.events():
            if isinstance(event, ngh2.ResponseReceived) and dict(event.headers)[b":status"] != b"200":
                raise ConnectionError("expected 200")
            if isinstance(event, ngh2.StreamClosed) and event.stream_id == stream:
                channel.sendall(engine.data_to_send())
                return
