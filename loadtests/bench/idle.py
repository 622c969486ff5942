"""
What the gateway adds to one request when nothing else is going on.

Added time is the answer time that a client sees, from the first byte sent to the last byte read on an open TLS
connection, minus the worker's own compute time, which the answer tells in ``Server-Timing`` (``compute``). Both are of
the same request. The clients are blocking sockets that prepare what they send before the clock starts and look at what
they got after it stopped: what they and the kernel need is in the figure, and the bare servers, whose compute time is
zero, show how much of it that is.

The servers take short turns, many of them, and a quantile is that of all their requests: whatever makes the machine
slow for a second or a minute meets all of them alike.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol
from urllib.parse import urlsplit

from loadtests.bench.load import Request
from loadtests.bench.quantile import quantile

__all__ = ["Added", "Caller", "HttpCaller", "added_times", "compute_ms", "connected"]

TURN_REQUESTS = 250
"""About a tenth of a second."""

WARM_UP_REQUESTS = 50
"""At the start of every turn, while the caches hold what another server left there; they do not count."""

COMPUTE = re.compile(rb"\bcompute;dur=([\d.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Milliseconds over many requests, one after the other."""

    server: str
    wire: str
    requests: int
    added_p50_ms: float
    added_p99_ms: float
    seen_p50_ms: float
    """As the client saw it, compute included."""


class Caller(Protocol):
    """One open connection. ``ask`` is all that is timed."""

    def prepare(self) -> None:
        """Get ready for the next request."""
        ...

    def ask(self) -> None:
        """Send it and read the whole answer. Raises ``ConnectionError``."""
        ...

    def compute_ms(self) -> float:
        """What the answer tells. Raises ``ConnectionError`` for any answer but the right one."""
        ...


def added_times(
    callers: Mapping[tuple[str, str], Caller], requests: int, clock: Callable[[], float] = perf_counter
) -> list[Added]:
    """By server and wire: ``requests`` of each caller, in turns of ``TURN_REQUESTS``; an incomplete one is left out."""
    seen: dict[tuple[str, str], list[float]] = {whose: [] for whose in callers}
    added: dict[tuple[str, str], list[float]] = {whose: [] for whose in callers}
    for _ in range(requests // TURN_REQUESTS):
        for whose, caller in callers.items():
            for number in range(WARM_UP_REQUESTS + TURN_REQUESTS):
                caller.prepare()
                started = clock()
                caller.ask()
                elapsed_ms = (clock() - started) * 1000
                compute = caller.compute_ms()
                if number >= WARM_UP_REQUESTS:
                    seen[whose].append(elapsed_ms)
                    added[whose].append(elapsed_ms - compute)
    return [_added(server, wire, sorted(added[server, wire]), sorted(seen[server, wire])) for server, wire in callers]


def connected(url: str, context: ssl.SSLContext | None = None) -> socket.socket:
    """An open connection that sends at once; TLS with a ``context``."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    plain = socket.create_connection((host, port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=host) if context else plain


class HttpCaller:
    """HTTP/1.1."""

    def __init__(self, channel: socket.socket, request: Request) -> None:
        url = urlsplit(request.url)
        self._channel = channel
        self._sent = _post(url.path, url.hostname or "", request.body, request.headers)
        self._head = b""

    def prepare(self) -> None:
        """Every request is the same."""

    def ask(self) -> None:
        self._channel.sendall(self._sent)
        self._head = _read_answer(self._channel)

    def compute_ms(self) -> float:
        return compute_ms(self._head)


def compute_ms(head: bytes) -> float:
    """What the answer says of the worker's compute time; 0 when it says nothing."""
    found = COMPUTE.search(head)
    return float(found[1]) if found else 0.0


def _added(server: str, wire: str, added: Sequence[float], seen: Sequence[float]) -> Added:
    """Both in ascending order."""
    return Added(
        server=server,
        wire=wire,
        requests=len(added),
        added_p50_ms=quantile(added, 0.50),
        added_p99_ms=quantile(added, 0.99),
        seen_p50_ms=quantile(seen, 0.50),
    )


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
