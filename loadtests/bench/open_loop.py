"""
Open-loop load: requests leave when a Poisson process says so, whether or not earlier ones were answered.

That is how the world behaves, and the only load under which overload shows: closed-loop clients slow down with the
server. Every request has a deadline and its time counts from when it was due, so a late generator does not flatter the
server; how late it was is told.

Run as ``python -m loadtests.bench.open_loop``: reads an ``OpenLoad`` as JSON from standard input, so that the key is on
no command line, and writes an ``Outcome``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from loadtests.bench.quantile import quantile

__all__ = ["Connection", "OpenLoad", "Outcome", "arrivals", "summary"]

TIMEOUT_HEADER = "x-request-timeout-ms"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
BROKEN = 0
"""Status of a request whose connection ended before its answer."""
PATIENCE = 2.0
"""Seconds after its deadline in which an answer is still waited for."""


class OpenLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What to send."""

    url: str
    body: str
    headers: dict[str, str]
    ca_file: str
    rate: float
    seconds: float
    warm_up: float
    """Seconds at the start that do not count."""
    deadline_ms: int
    connections: int
    """Opened before the start; a request that finds none free is not sent, which ``unsent`` tells."""
    seed: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the requests that were due after the warm-up."""

    offered: float
    """Requests a second."""
    goodput: float
    """Answered 200 within the deadline, a second."""
    good: int
    late: int
    """Answered 200 after the deadline."""
    statuses: dict[int, int]
    unsent: int
    admitted_p50_ms: float
    """Of what was let in, answered or timed out; what was refused is not in it."""
    admitted_p99_ms: float
    refused_p99_ms: float
    """How quickly a refusal is told."""
    lag_p99_ms: float
    """How late the generator itself was."""


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Due times of a Poisson process; the same for the same seed."""
    draw = random.Random(seed)
    times, now = [], draw.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += draw.expovariate(rate)
    return times


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection with at most one request on it."""

    def __init__(self, on_free: Callable[[Connection], None]) -> None:
        self._on_free = on_free
        self._data = b""
        self._answered: Callable[[int], None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._on_free(self)

    def ask(self, request: bytes, answered: Callable[[int], None]) -> None:
        """``answered`` is called with the status, or ``BROKEN``."""
        self._answered = answered
        if self._transport is None or self._transport.is_closing():  # the server closed it while it was free
            self._tell(BROKEN)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = LENGTH.search(self._data, 0, end)
        if len(self._data) < end + 4 + (int(length[1]) if length else 0):
            return
        status = int(self._data[9:12])
        self._data = b""
        self._tell(status)
        self._on_free(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        self._tell(BROKEN)

    def close(self) -> None:
        self._tell(BROKEN)
        if self._transport is not None:
            self._transport.abort()

    def _tell(self, status: int) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(status)


class _Run:
    def __init__(self, load: OpenLoad) -> None:
        self._load = load
        url = urlsplit(load.url)
        self._host, self._port = url.hostname or "", url.port or 443
        head = [f"POST {url.path} HTTP/1.1", f"Host: {self._host}", "Content-Type: application/json"]
        head += [f"{TIMEOUT_HEADER}: {load.deadline_ms}", f"Content-Length: {len(load.body.encode())}"]
        head += [f"{name}: {value}" for name, value in load.headers.items()]
        self._request = "\r\n".join([*head, "", load.body]).encode()
        self._free: list[Connection] = []
        self._all: list[Connection] = []
        self._results: list[tuple[int, float]] = []
        self._lags: list[float] = []
        self._unsent = 0
        self._open = 0
        self._is_last_sent, self._all_answered = False, asyncio.Event()

    async def run(self) -> Outcome:
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context(cafile=self._load.ca_file)
        for _ in range(self._load.connections):
            _, connection = await loop.create_connection(
                lambda: Connection(self._free.append), self._host, self._port, ssl=tls
            )
            self._all.append(connection)
        start = time.perf_counter() + 0.1
        for due in arrivals(self._load.rate, self._load.seconds, self._load.seed):
            wait = start + due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            self._send(start + due, counts=due >= self._load.warm_up)
        self._is_last_sent = True
        if self._open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_answered.wait(), self._load.deadline_ms / 1000 + PATIENCE)
        for connection in self._all:
            connection.close()  # which tells what is still unanswered as broken
        await asyncio.sleep(0)
        return summary(
            self._results,
            self._lags,
            unsent=self._unsent,
            seconds=self._load.seconds - self._load.warm_up,
            deadline=self._load.deadline_ms / 1000,
        )

    def _send(self, due: float, *, counts: bool) -> None:
        if counts:
            self._lags.append(time.perf_counter() - due)
        if not self._free:
            self._unsent += counts
            return
        self._open += 1

        def answered(status: int) -> None:
            self._open -= 1
            if counts:
                self._results.append((status, time.perf_counter() - due))
            if self._is_last_sent and not self._open:
                self._all_answered.set()

        self._free.pop().ask(self._request, answered)


def summary(
    results: list[tuple[int, float]], lags: list[float], *, unsent: int, seconds: float, deadline: float
) -> Outcome:
    """``results``: status and seconds of each request."""
    good = sum(status == 200 and took <= deadline for status, took in results)
    ok = sum(status == 200 for status, _ in results)
    admitted = sorted(took * 1000 for status, took in results if status in (200, 408, 504))
    refused = sorted(took * 1000 for status, took in results if status == 429)
    return Outcome(
        offered=(len(results) + unsent) / seconds,
        goodput=good / seconds,
        good=good,
        late=ok - good,
        statuses=dict(sorted(Counter(status for status, _ in results).items())),
        unsent=unsent,
        admitted_p50_ms=quantile(admitted, 0.50),
        admitted_p99_ms=quantile(admitted, 0.99),
        refused_p99_ms=quantile(refused, 0.99),
        lag_p99_ms=quantile(sorted(lag * 1000 for lag in lags), 0.99),
    )


if __name__ == "__main__":
    outcome = uvloop.run(_Run(msgspec.json.decode(sys.stdin.buffer.read(), type=OpenLoad)).run())
    json.dump(msgspec.to_builtins(outcome, str_keys=True), sys.stdout)  # json can say NaN, msgspec cannot
