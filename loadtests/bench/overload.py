"""
What happens at half to three times the capacity, in an open loop.

The model is the random forest with batches of at most four rows on one R worker, alone on the second core; gateway and
generator share the first. So capacity is the worker's, small enough for the generator to exceed three times. Capacity
is what 64 closed-loop connections get, measured just before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import msgspec

from loadtests.bench import wrk
from loadtests.bench.cpu import Meter
from loadtests.bench.layout import Layout
from loadtests.bench.lockgate import Lockgate
from loadtests.bench.open_loop import OpenLoad, Outcome

__all__ = ["FACTORS", "Overload", "Step", "run", "step"]

FACTORS = (0.5, 1.0, 1.5, 2.0, 3.0)
DEADLINE_MS = 250
CONNECTIONS = 512
"""More than can be open at three times the capacity, refusals included."""
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Medians over the turns at one factor."""

    factor: float
    offered: float
    goodput: float
    refused: float
    """429 a second."""
    timed_out: float
    """504 a second, and what was answered after the deadline."""
    admitted_p50_ms: float
    admitted_p99_ms: float
    refused_p99_ms: float
    lag_p99_ms: float
    foreign: float
    """As in ``Measurement``."""
    errors: int
    """Other statuses, broken connections, and requests that found no free connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """The whole run."""

    capacity: float
    deadline_ms: int
    steps: Sequence[Step]

    @property
    def kept(self) -> float:
        """Goodput at the highest factor as a share of the best goodput at any."""
        peak = max(step.goodput for step in self.steps)
        return max(self.steps, key=lambda step: step.factor).goodput / peak


def run(lockgate: Lockgate, layout: Layout, *, repeats: int, seconds: float) -> Overload:
    """All factors in turn, ``repeats`` times."""
    request = lockgate.score_request("random-forest")
    wrk.run(request, connections=64, seconds=1, core=layout.server)
    capacity = wrk.run(request, connections=64, seconds=max(2.0, seconds), core=layout.server).rate
    print(f"overload: capacity {capacity:,.0f}/s", file=sys.stderr)
    outcomes: dict[float, list[Outcome]] = {factor: [] for factor in FACTORS}
    foreign: dict[float, list[float]] = {factor: [] for factor in FACTORS}
    for turn in range(repeats):
        for factor in FACTORS:
            load = OpenLoad(
                url=request.url,
                body=request.body.decode(),
                headers=dict(request.headers),
                ca_file=str(lockgate.ca_file),
                rate=capacity * factor,
                seconds=WARM_UP_SECONDS + seconds,
                warm_up=WARM_UP_SECONDS,
                deadline_ms=DEADLINE_MS,
                connections=CONNECTIONS,
                seed=turn,
            )
            meter = Meter(lockgate.roles(), layout.both)
            outcome = _generate(load, layout.server)
            foreign[factor].append(meter.used().foreign)
            print(f"overload: {factor} × capacity: {outcome}", file=sys.stderr)
            outcomes[factor].append(outcome)
    steps = [step(factor, seconds, found, median(foreign[factor])) for factor, found in outcomes.items()]
    return Overload(capacity=capacity, deadline_ms=DEADLINE_MS, steps=steps)


def step(factor: float, seconds: float, outcomes: Sequence[Outcome], foreign: float) -> Step:
    """The medians of ``outcomes``, each over ``seconds``; errors add up."""
    expected = {200, 408, 429, 504}
    return Step(
        factor=factor,
        offered=median(o.offered for o in outcomes),
        goodput=median(o.goodput for o in outcomes),
        refused=median(o.statuses.get(429, 0) for o in outcomes) / seconds,
        timed_out=median(o.late + o.statuses.get(504, 0) + o.statuses.get(408, 0) for o in outcomes) / seconds,
        admitted_p50_ms=median(o.admitted_p50_ms for o in outcomes),
        admitted_p99_ms=median(o.admitted_p99_ms for o in outcomes),
        refused_p99_ms=median(o.refused_p99_ms for o in outcomes),
        foreign=foreign,
        lag_p99_ms=median(o.lag_p99_ms for o in outcomes),
        errors=sum(o.unsent + sum(n for status, n in o.statuses.items() if status not in expected) for o in outcomes),
    )


def _generate(load: OpenLoad, core: int) -> Outcome:
    done = subprocess.run(
        ["taskset", "-c", str(core), sys.executable, "-m", "loadtests.bench.open_loop"],
        input=msgspec.json.encode(load),
        stdout=subprocess.PIPE,
        timeout=load.seconds + 60,
        check=True,
    )
    return msgspec.convert(json.loads(done.stdout), Outcome, strict=False)
