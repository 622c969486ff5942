"""
The figures that Lockgate promises, computed from what was measured beside it in the same run.

The goals are those of the engines that Lockgate runs with where nothing is configured, ``httptools`` and ``h2grpc``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.bench.beside_triton import IN_FLIGHT, TRITON_GROUPS
from loadtests.bench.closed_loop import Measurement
from loadtests.bench.connections import Held
from loadtests.bench.features_cost import FEAST_CALL, HIT, MISS
from loadtests.bench.idle import Added
from loadtests.bench.overload import Overload
from loadtests.bench.reload_found import Reloaded
from loadtests.bench.shadow import Shadowed
from loadtests.bench.target import ON_ONE

__all__ = ["Ratio", "ratios"]

CALLED = {"rest": "REST", "grpc": "gRPC", ON_ONE: "gRPC on one connection"}
CPU_GOALS = {("rest", 64): 1.0, ("grpc", 1): 0.6, ("grpc", 16): 0.3, ("grpc", 64): 0.3}
CPU_GOALS |= {(ON_ONE, 16): 0.3, (ON_ONE, 64): 0.3}
IDLE_GOALS_MS = {"REST": 0.2, "gRPC": 0.1}
BARE_US = {"REST": 30.0, "gRPC": 105.0}
"""CPU of the bare servers, one request at a time, on the machine for which those milliseconds were written down."""

FLOOR_GOALS = {"REST": 2.2, "gRPC": 1.1}
"""
The same milliseconds in what the floor takes for a lone request. On that machine a sketch of the whole path, which the
floor was written after, answered 11,000 gRPC requests a second one at a time, gateway and worker on one core: 91 µs
each, the client and a few µs of compute included. 0.2 and 0.1 ms are 2.2 and 1.1 of these.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One promise: ``value`` must be at least, or at most, ``goal``. Without one it is there to judge others by."""

    name: str
    value: float
    goal: float | None
    at_least: bool

    @property
    def is_met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def ratios(
    medians: Sequence[Measurement],
    idle: Sequence[Added],
    overload: Overload | None,
    connections: Sequence[Held] = (),
    features: Mapping[str, float] | None = None,
    *,
    shadow: Sequence[Shadowed] = (),
    reload: Reloaded | None = None,
) -> list[Ratio]:
    """All that can be computed from what was measured."""
    by_key = {(m.group, m.server, m.connections): m for m in medians}
    found = []
    for (group, in_flight), goal in CPU_GOALS.items():
        ours, bare = by_key.get((group, "lockgate", in_flight)), by_key.get((group, "bare", in_flight))
        if ours and bare:
            value = ours.cpu_us["gateway"] / bare.cpu_us["server"]
            name = f"{CALLED[group]}: gateway's CPU a request / bare server's, {in_flight} in flight"
            found.append(Ratio(name=name, value=value, goal=goal, at_least=False))
    for group, name in TRITON_GROUPS.items():
        for in_flight in IN_FLIGHT:
            ours, peer = by_key.get((group, "lockgate", in_flight)), by_key.get((group, "triton", in_flight))
            if ours and peer:
                goal = 1.5 if group.startswith("rest") else 2.5
                title = f"{name}: throughput / Triton's on one core, {in_flight} in flight"
                found.append(Ratio(name=title, value=ours.rate / peer.rate, goal=goal, at_least=True))
        for in_flight in IN_FLIGHT:
            floor, peer = by_key.get((group, "floor", in_flight)), by_key.get((group, "triton", in_flight))
            if floor and peer:
                title = f"{name}: floor's throughput / Triton's on one core, {in_flight} in flight"
                found.append(Ratio(name=title, value=floor.rate / peer.rate, goal=None, at_least=True))
    for group, goal in (("lm", 40.0), ("random-forest", 30.0)):
        ours, peer = by_key.get((group, "lockgate", 64)), by_key.get((group, "plumber", 64))
        if ours and peer:
            name = f"{group}: throughput / plumber's, 64 connections"
            found.append(Ratio(name=name, value=ours.rate / peer.rate, goal=goal, at_least=True))
    floor_idle = next((added for added in idle if added.server == "floor"), None)
    for added in idle:
        if added.server == "lockgate":
            found += _of_idle(added, by_key.get((added.wire.lower(), "bare", 1)), floor_idle)
    for held in connections:
        name = f"idle TLS connection of {held.protocol}: memory of the gateway, kB"
        found.append(Ratio(name=name, value=held.kilobytes, goal=50.0, at_least=False))
    if features:
        for what, run, goal in (("local hit", HIT, 3.0), ("pipelined miss", MISS, 20.0)):
            cost = features[run]
            found.append(Ratio(name=f"features: {what}, CPU µs a row", value=cost, goal=goal, at_least=False))
            if FEAST_CALL in features:
                name = f"features: {what}, Feast's CPU a row / ours"
                found.append(Ratio(name=name, value=features[FEAST_CALL] / cost, goal=50.0, at_least=True))
    if overload is not None:
        name = "overload: goodput at 3 × capacity / best goodput"
        found.append(Ratio(name=name, value=overload.kept, goal=0.9, at_least=True))
    for one in shadow:
        name = f"shadow of everything, {one.wire}: primary's p99 / without it"
        found.append(Ratio(name=name, value=one.p99.value, goal=1.05, at_least=False))
    if reload is not None:
        found += _of_reload(reload)
    return found


def _of_idle(added: Added, bare: Measurement | None, floor: Added | None) -> list[Ratio]:
    """``floor`` is over gRPC, the one wire that it knows, whatever the wire of ``added``."""
    ms = added.added_p50_ms
    name = f"idle, {added.wire}: p50 added to the worker's compute"
    found = [Ratio(name=f"{name}, ms", value=ms, goal=IDLE_GOALS_MS[added.wire], at_least=False)]
    if bare:
        goal = IDLE_GOALS_MS[added.wire] * 1000 / BARE_US[added.wire]
        value = ms * 1000 / bare.cpu_us["server"]
        found.append(Ratio(name=f"{name} / bare server's CPU a request", value=value, goal=goal, at_least=False))
    if floor:
        name, value = f"idle, {added.wire}: p50 added / floor's", ms / floor.added_p50_ms
        found.append(Ratio(name=name, value=value, goal=FLOOR_GOALS[added.wire], at_least=False))
    return found


def _of_reload(reload: Reloaded) -> list[Ratio]:
    number = sum(one.count for one in reload.changes)
    failed = sum(reload.failures.values())
    name = f"reload: requests failed through {number} changes and {reload.loads} loads"
    found = [Ratio(name=name, value=failed, goal=0.0, at_least=False)]
    for one in reload.changes:
        if one.kind != "replaced":
            name = f"reload: {one.kind} changed, until every process runs it, longest, s"
            found.append(Ratio(name=name, value=one.max_s, goal=1.0, at_least=False))
    for other in reload.disturbed:
        name = f"reload: p99 of {other.endpoint} while another model loads / without"
        found.append(Ratio(name=name, value=other.p99.value, goal=1.1, at_least=False))
    return found
