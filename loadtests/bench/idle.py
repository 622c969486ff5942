"""
What the gateway adds to one request when nothing else is going on.

Added time is the answer time that a client sees, from the first byte sent to the last byte read on an open TLS
connection, minus the worker's own compute time, which the answer tells in ``Server-Timing`` (``compute``). Both are of
the same request. The client is a blocking socket: what it and the kernel need is in the figure, and the bare server,
whose compute time is zero, shows how much of it that is.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from loadtests.bench.load import Request
from loadtests.bench.quantile import quantile

__all__ = ["Added", "added_time", "compute_ms"]

WARM_UP_REQUESTS = 200
COMPUTE = re.compile(rb"\bcompute;dur=([\d.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Milliseconds over many requests, one after the other."""

    server: str
    requests: int
    added_p50_ms: float
    added_p99_ms: float
    seen_p50_ms: float
    """As the client saw it, compute included."""


def added_time(server: str, request: Request, *, requests: int, context: ssl.SSLContext | None = None) -> Added:
    """Ask ``requests`` times on one connection. Raises ``ConnectionError`` for any answer but 200."""
    url = urlsplit(request.url)
    host, port = url.hostname or "", url.port or 443
    sent = _post(url.path, host, request.body, request.headers)
    seen, added = [], []
    with socket.create_connection((host, port), timeout=10) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel = context.wrap_socket(plain, server_hostname=host) if context else plain
        for _ in range(WARM_UP_REQUESTS + requests):
            started = time.perf_counter()
            channel.sendall(sent)
            head = _read_answer(channel)
            elapsed_ms = (time.perf_counter() - started) * 1000
            seen.append(elapsed_ms)
            added.append(elapsed_ms - compute_ms(head))
    seen, added = sorted(seen[WARM_UP_REQUESTS:]), sorted(added[WARM_UP_REQUESTS:])
    return Added(
        server=server,
        requests=requests,
        added_p50_ms=quantile(added, 0.50),
        added_p99_ms=quantile(added, 0.99),
        seen_p50_ms=quantile(seen, 0.50),
    )


def compute_ms(head: bytes) -> float:
    """What the answer says of the worker's compute time; 0 when it says nothing."""
    found = COMPUTE.search(head)
    return float(found[1]) if found else 0.0


def _post(path: str, host: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _read_answer(channel: socket.socket) -> bytes:
    """Read one whole answer and return its head."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _some(channel)
    head = data[:end]
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(f"expected 200, got {head.splitlines()[0].decode(errors='replace')}")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    if length is None:
        raise ConnectionError("expected an answer with a length")
    missing = end + 4 + int(length[1]) - len(data)
    while missing > 0:
        missing -= len(_some(channel))
    return head


def _some(channel: socket.socket) -> bytes:
    data = channel.recv(65536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data
