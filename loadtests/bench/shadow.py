"""
What a shadow that gets every request does to the latency of the primary.

The same requests go to the same deployment in turns of a few seconds: insisting on it, which is not mirrored, and not,
which is. So both kinds meet the same gateway, the same worker and the same drift of the machine. The rate is fixed and
far below capacity, over HTTP and then over gRPC.

With two cores the gateway, the supervisor and the primary's worker share the first; the shadow's worker has the second
together with the load generator. Sending to the shadow, reading its answers and comparing them is the gateway's work
and stays on the first core: that is what is measured, beside a shadow that computes elsewhere.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loadtests.bench.cpu import Meter
from loadtests.bench.layout import Layout
from loadtests.bench.load import Request
from loadtests.bench.lockgate import Lockgate
from loadtests.bench.quantile import quantile
from loadtests.bench.requests import mlp_json, mlp_protobuf
from loadtests.bench.spread import QuantileRatio, quantile_ratio
from loadtests.bench.steady import Sample, SteadyLoad, Stream
from loadtests.bench.steady_run import SteadyRun

__all__ = ["Shadowed", "mirrored", "pairs_of", "run"]

RATE = 200.0
PAIRS_A_REPEAT = 4
SETTLE = 0.2
"""Seconds at the start of a turn that do not count: what the turn before left under way ends in them."""

INSIST = "azureml-model-deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """One wire. ``without`` and ``with`` the shadow, in milliseconds."""

    wire: str
    rate: float
    requests: int
    """Of both kinds that counted."""
    failed: int
    mirrored: float
    """What the shadow was sent, as a share of what it should have been sent."""
    p50: QuantileRatio
    p99: QuantileRatio
    lag_p99_ms: float
    """How late the generator was."""
    stolen: float
    """Share of the answered ones that did not count, because the host took a core meanwhile."""
    foreign: float
    """As in ``Measurement``."""


def run(lockgate: Lockgate, layout: Layout, *, repeats: int, seconds: float) -> list[Shadowed]:
    """Both wires, one after the other; ``seconds`` is the length of a turn."""
    _move(lockgate.workers_of("mlp/candidate"), layout.load)
    rest, grpc = lockgate.rest_request("mlp", mlp_json()), lockgate.grpc_request(mlp_protobuf())
    pairs = repeats * PAIRS_A_REPEAT
    return [
        _measure(lockgate, layout, "http", rest, pairs=pairs, turn=seconds),
        _measure(lockgate, layout, "grpc", grpc, pairs=pairs, turn=seconds),
    ]


def pairs_of(samples: Sequence[Sample], turn: float, pairs: int) -> list[tuple[list[float], list[float]]]:
    """
    The milliseconds of neighbouring turns of two streams. The first pair is the warm-up and does not count, nor does
    the start of any turn and what met theft.
    """
    start = min(sample.due for sample in samples)
    found: list[tuple[list[float], list[float]]] = [([], []) for _ in range(pairs)]
    for sample in samples:
        at = sample.due - start
        pair = int(at / (2 * turn)) - 1
        if 0 <= pair < pairs and at % turn >= SETTLE and sample.counts:
            found[pair][sample.stream].append(sample.seconds * 1000)
    return found


def mirrored(metrics: str) -> int:
    """What a scrape says that the shadow of the bench has been sent."""
    counts = re.findall(r"^lockgate_mirror_requests_total\{[^}]*\} (\d+)", metrics, re.MULTILINE)
    return sum(map(int, counts))


def _measure(lockgate: Lockgate, layout: Layout, wire: str, request: Request, *, pairs: int, turn: float) -> Shadowed:
    both = {"url": request.url, "body": request.body, "rate": RATE, "wire": wire}
    plain = dict(request.headers)
    load = SteadyLoad(
        streams=[
            msgspec.convert({**both, "name": "without", "headers": {**plain, INSIST: "blue"}}, Stream),
            msgspec.convert({**both, "name": "with", "headers": plain}, Stream),
        ],
        ca_file=str(lockgate.ca_file),
        seconds=2 * turn * (pairs + 1),
        turn=turn,
    )
    before = mirrored(lockgate.metrics())
    meter = Meter(lockgate.roles(), layout.both)
    with SteadyRun(load, layout.load, layout.both) as steady:
        samples = steady.wait()
    foreign = meter.used().foreign
    sent = mirrored(lockgate.metrics()) - before
    windows = pairs_of(samples, turn, pairs)
    answered = [sample for sample in samples if not sample.failure]
    found = Shadowed(
        wire=wire,
        rate=RATE,
        requests=sum(len(without) + len(with_) for without, with_ in windows),
        failed=sum(bool(sample.failure) for sample in samples),
        mirrored=sent / max(1, sum(sample.stream == 1 for sample in samples)),
        p50=quantile_ratio(windows, 0.50),
        p99=quantile_ratio(windows, 0.99),
        lag_p99_ms=quantile(sorted(sample.lag * 1000 for sample in samples), 0.99),
        stolen=sum(sample.met_theft for sample in answered) / max(1, len(answered)),
        foreign=foreign,
    )
    print(f"shadow: {found}", file=sys.stderr)
    return found


def _move(pids: Sequence[int], core: int) -> None:
    """All threads of these processes."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
