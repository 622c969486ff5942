"""
Constant open-loop load of several streams at once, or of streams that take turns; every single request is told.

Whoever started it changes something on the server meanwhile, and tells by the time at which a request was due what it
met: ``due`` is on the monotonic clock, which all processes of a machine share. Times count from then. Timers of uvloop
and of epoll are whole milliseconds, as long as what is measured here, so this loop waits with select, which knows
microseconds.

Run as ``python -m loadtests.bench.steady``: reads a ``SteadyLoad`` as one line of JSON from standard input, sends until
that is closed or the time is over, and writes ``Sample``s.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import selectors
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from heapq import merge
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from loadtests.bench import grpc_connection
from loadtests.bench.grpc_connection import GrpcConnection
from loadtests.bench.open_loop import BROKEN, Connection

__all__ = ["Sample", "SteadyLoad", "Stream", "due_times"]

PATIENCE = 6.0
"""Seconds after the last request in which answers are waited for: more than the server's own deadline."""
CONNECTIONS = 16
"""Of one HTTP/1.1 stream, opened before the start."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One request, again and again."""

    name: str
    wire: Literal["http", "grpc"]
    """``grpc``: unary calls, all on one connection."""
    url: str
    body: bytes
    """A gRPC message is framed."""
    headers: dict[str, str]
    rate: float
    """Requests a second, while it is this stream's turn."""


class SteadyLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What to send."""

    streams: list[Stream]
    ca_file: str
    seconds: float
    """At most."""
    turn: float = 0.0
    """Seconds after which the next stream has its turn; 0: all send at once."""
    seed: int = 0


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One request."""

    stream: int
    due: float
    """On the monotonic clock."""
    seconds: float
    """From when it was due to its answer."""
    lag: float
    """How late it was sent."""
    failure: str
    """Empty for 200 and OK."""
    met_theft: bool = False
    """Whether the host of this virtual machine took a core from it meanwhile (``stolen``)."""

    @property
    def counts(self) -> bool:
        """Whether its time tells about the server."""
        return not self.failure and not self.met_theft


def due_times(load: SteadyLoad, place: int) -> Iterator[float]:
    """When the stream at this place sends, in seconds after the start: a Poisson process during its turns."""
    draw = random.Random(f"{load.seed} {place}")
    now = 0.0
    while (now := now + draw.expovariate(load.streams[place].rate)) < load.seconds:
        if load.turn == 0 or int(now / load.turn) % len(load.streams) == place:
            yield now


class _Http:
    def __init__(self, stream: Stream) -> None:
        url = urlsplit(stream.url)
        self.host, self.port, self.alpn = url.hostname or "", url.port or 443, "http/1.1"
        head = [f"POST {url.path} HTTP/1.1", f"Host: {self.host}", "Content-Type: application/json"]
        head += [f"Content-Length: {len(stream.body)}", *(f"{k}: {v}" for k, v in stream.headers.items())]
        self._request = "\r\n".join([*head, "", ""]).encode() + stream.body
        self._free: deque[Connection] = deque()  # in turns, so that none is idle until the server closes it
        self._waiting: deque[Callable[[int], None]] = deque()
        """Requests for which no connection was free; their time goes on from when they were due."""
        self.connections = CONNECTIONS

    def connection(self) -> Connection:
        return Connection(self._on_free)

    def ask(self, told: Callable[[str], None]) -> None:
        def answered(status: int) -> None:
            told("" if status == 200 else "connection lost" if status == BROKEN else f"HTTP {status}")

        self._waiting.append(answered)
        if self._free:
            self._on_free(self._free.popleft())

    def give_up(self) -> None:
        """What still waits will not be sent."""
        while self._waiting:
            self._waiting.popleft()(BROKEN)

    def _on_free(self, connection: Connection) -> None:
        if self._waiting:
            connection.ask(self._request, self._waiting.popleft())
        else:
            self._free.append(connection)


class _Grpc:
    def __init__(self, stream: Stream) -> None:
        url = urlsplit(stream.url)
        self.host, self.port, self.alpn = url.hostname or "", url.port or 443, "h2"
        self._head = grpc_connection.fields(url.netloc, url.path, stream.headers)
        self._message = stream.body
        self._connection = GrpcConnection()
        self.connections = 1

    def connection(self) -> GrpcConnection:
        return self._connection

    def ask(self, told: Callable[[str], None]) -> None:
        def answered(status: int) -> None:
            told("" if status == 0 else "connection lost" if status == grpc_connection.BROKEN else f"gRPC {status}")

        self._connection.ask(self._head, self._message, answered)

    def give_up(self) -> None:
        """Every call was sent at once."""


class _Run:
    def __init__(self, load: SteadyLoad) -> None:
        self._load = load
        self._senders = [_Http(stream) if stream.wire == "http" else _Grpc(stream) for stream in load.streams]
        self._samples: list[Sample] = []
        self._open = 0
        self._none_open = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> list[Sample]:
        connections = await self._connect()
        start = time.monotonic() + 0.1
        for due, place in merge(*(_marked(due_times(self._load, n), n) for n in range(len(self._senders)))):
            if (wait := start + due - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await stop.wait()
            if stop.is_set():
                break
            self._send(place, start + due)
        if self._open:
            self._none_open.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_open.wait(), PATIENCE)
        for sender in self._senders:
            sender.give_up()
        for connection in connections:
            connection.close()  # which tells what is still unanswered as lost
        await asyncio.sleep(0)
        return self._samples

    async def _connect(self) -> list[Connection | GrpcConnection]:
        loop = asyncio.get_running_loop()
        found: list[Connection | GrpcConnection] = []
        connection: Connection | GrpcConnection
        for sender in self._senders:
            tls = ssl.create_default_context(cafile=self._load.ca_file)
            tls.set_alpn_protocols([sender.alpn])
            for _ in range(sender.connections):
                _, connection = await loop.create_connection(sender.connection, sender.host, sender.port, ssl=tls)
                found.append(connection)
        return found

    def _send(self, place: int, due: float) -> None:
        lag = time.monotonic() - due
        self._open += 1

        def told(failure: str) -> None:
            self._samples.append(Sample(place, due, time.monotonic() - due, lag, failure))
            self._open -= 1
            if not self._open:
                self._none_open.set()

        self._senders[place].ask(told)


def _marked(times: Iterator[float], place: int) -> Iterator[tuple[float, int]]:
    return ((due, place) for due in times)


async def _main() -> None:
    run = _Run(msgspec.json.decode(sys.stdin.buffer.readline(), type=SteadyLoad))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)  # readable: the starter has closed it
    samples = await run.run(stop)
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    sys.stdout.buffer.write(msgspec.json.encode(samples))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_main())
