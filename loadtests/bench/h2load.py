"""
Closed-loop gRPC load: h2load, which repeats one unary call as a plain HTTP/2 POST.

It knows nothing of gRPC: a failed call is a 200 with the failure in the trailers, which it counts as a success. So
failures are counted by what is missing: a right answer has a message of known length, a failed call has none.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from loadtests.bench.load import Load, Request
from loadtests.bench.quantile import quantile

__all__ = ["framed", "parse", "run", "run_on_one", "shape"]


def framed(message: bytes) -> bytes:
    """A gRPC message as it lies in the stream: uncompressed, with its length before it."""
    return struct.pack(">?I", False, len(message)) + message


def shape(in_flight: int) -> tuple[int, int]:
    """Connections and streams on each, for so many calls in flight: 1 is 1 × 1, 16 is 4 × 4, 64 is 16 × 4."""
    streams = 4 if in_flight >= 4 else 1
    return in_flight // streams, streams


def run(request: Request, *, connections: int, seconds: float, core: int) -> Load:
    """Load with ``connections`` calls in flight, for about ``seconds`` (h2load counts whole ones), from ``core``."""
    return _run(request, shape(connections), seconds, core)


def run_on_one(request: Request, *, connections: int, seconds: float, core: int) -> Load:
    """The same with all calls on one connection."""
    return _run(request, (1, connections), seconds, core)


def parse(summary: str, log: Iterable[str], answer_bytes: int) -> Load:
    """From h2load's summary, and its log of one line per answer: start, status, microseconds. Raises ``ValueError``."""
    finished = re.search(r"finished in ([\d.]+)(us|ms|s),", summary)
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", summary)
    data = re.search(r"\((\d+)\) data", summary)
    if finished is None or counts is None or data is None:
        raise ValueError(f"h2load printed no result:\n{summary}")
    seconds = float(finished[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[finished[2]]
    requests, _, failed, errored, timed_out = map(int, counts.groups())
    answered = int(data[1]) // answer_bytes if answer_bytes else requests
    times_ms = sorted(int(line.split("\t")[2]) / 1000 for line in log)
    return Load(
        requests=requests,
        seconds=seconds,
        p50_ms=quantile(times_ms, 0.50),
        p99_ms=quantile(times_ms, 0.99),
        errors=max(failed + errored + timed_out, requests - answered),
    )


def _run(request: Request, calls: tuple[int, int], seconds: float, core: int) -> Load:
    clients, streams = calls
    whole = max(1, round(seconds))
    headers = {"content-type": "application/grpc", "te": "trailers", **request.headers}
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(request.body)
        h2load = ["h2load", "-t1", f"-c{clients}", f"-m{streams}", f"-D{whole}", "--warm-up-time=0"]
        h2load += [
            f"--data={body}",
            f"--log-file={log}",
            *(f"--header={name}: {value}" for name, value in headers.items()),
        ]
        done = subprocess.run(
            ["taskset", "-c", str(core), *h2load, request.url],
            capture_output=True,
            text=True,
            timeout=whole + 60,
            check=True,
        )
        with log.open() as lines:
            return parse(done.stdout, lines, request.answer_bytes)
