"""
Closed-loop runs: every connection asks again as soon as it is answered.

Servers of one group take turns, so that a machine that gets slower or busier meets all of them alike; the figures of
one server at one number of connections are the medians of its turns.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from loadtests.bench.cpu import Meter, resident_mb
from loadtests.bench.target import Target

__all__ = ["CONNECTIONS", "Measurement", "measure_in_turns", "medians"]

CONNECTIONS = (1, 16, 64)

WARM_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run, or the medians of several like it."""

    group: str
    server: str
    connections: int
    rate: float
    """Requests a second."""
    p50_ms: float
    p99_ms: float
    errors: int
    """A run with errors measures something else than the others."""
    cpu_us: Mapping[str, float]
    """Role → CPU microseconds a request."""
    resident_mb: Mapping[str, float]
    foreign: float
    """What neither server nor load used of the bench's cores, as a share of one."""


def measure_in_turns(
    targets: Sequence[Target],
    *,
    cores: Sequence[int],
    repeats: int,
    seconds: float,
    connections: Sequence[int] = CONNECTIONS,
) -> list[Measurement]:
    """Every target at every number of connections, ``repeats`` times, the targets one after the other each time."""
    found = []
    for target in targets:
        _load(target, max(connections), WARM_UP_SECONDS, cores)
    for _ in range(repeats):
        for count in connections:
            for target in targets:
                measurement = _load(target, count, seconds, cores)
                print(_line(measurement), file=sys.stderr)
                found.append(measurement)
    return found


def medians(measurements: Iterable[Measurement]) -> list[Measurement]:
    """One measurement per group, server and connections, in the order of their first appearance; errors add up."""
    alike: dict[tuple[str, str, int], list[Measurement]] = {}
    for one in measurements:
        alike.setdefault((one.group, one.server, one.connections), []).append(one)
    return [
        Measurement(
            group=group,
            server=server,
            connections=connections,
            rate=median(run.rate for run in runs),
            p50_ms=median(run.p50_ms for run in runs),
            p99_ms=median(run.p99_ms for run in runs),
            errors=sum(run.errors for run in runs),
            cpu_us={role: median(run.cpu_us[role] for run in runs) for role in runs[0].cpu_us},
            resident_mb={role: median(run.resident_mb[role] for run in runs) for role in runs[0].resident_mb},
            foreign=median(run.foreign for run in runs),
        )
        for (group, server, connections), runs in alike.items()
    ]


def _load(target: Target, connections: int, seconds: float, cores: Sequence[int]) -> Measurement:
    roles = target.roles()
    meter = Meter(roles, cores)
    load = target.generate(target.request, connections=connections, seconds=seconds, core=target.load_core)
    used = meter.used()
    return Measurement(
        group=target.group,
        server=target.server,
        connections=connections,
        rate=load.rate,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        errors=load.errors,
        cpu_us={role: seconds / max(1, load.requests) * 1e6 for role, seconds in used.seconds.items()},
        resident_mb={role: resident_mb(pids) for role, pids in roles.items()},
        foreign=used.foreign,
    )


def _line(run: Measurement) -> str:
    cpu = ", ".join(f"{role} {us:.1f}" for role, us in run.cpu_us.items())
    return (
        f"{run.group:14} {run.server:10} {run.connections:3} connections: {run.rate:9,.0f}/s, p50 {run.p50_ms:.2f} ms, "
        f"p99 {run.p99_ms:.2f} ms, CPU µs: {cpu}; others {run.foreign:.0%} of a core"
        + (f"; {run.errors} ERRORS" if run.errors else "")
    )
