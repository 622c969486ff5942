"""
Which process runs on which core: the plan that ``lockgate serve`` makes before it starts anything, and again for what
a reload adds.

Deciding is pure (``plan_cores``); reading what this process may use (``read_available``) is a thin look at the kernel's
files. A core that a cpuset or an affinity mask gives us is ours to pin to. A CPU *quota* is different: it says how much
we may use, not where, and every container of a node would pin itself to the same first cores. So a quota limits how
many processes are planned, and then nothing is pinned.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from types import MappingProxyType

__all__ = ["Available", "CorePlan", "Need", "parse_cpu_list", "plan_cores", "read_available"]

Cores = tuple[int, ...]
"""Cores that one process is pinned to; empty: wherever the scheduler likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """What this process may use."""

    cores: Cores
    """In ascending order, at least one."""
    count: int
    """How many cores' worth of time: less than ``cores`` under a quota."""

    @property
    def can_pin(self) -> bool:
        return self.count >= len(self.cores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one deployment asks for."""

    workers: int | None = None
    """None: its share of the cores that are left."""
    threads: int = 1
    """Cores that one worker keeps busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorePlan:
    """The cores of every process."""

    gateways: tuple[Cores, ...]
    """One entry per gateway process."""
    workers: Mapping[str, tuple[Cores, ...]]
    """Deployment → one entry per worker process."""


def plan_cores(
    available: Available,
    gateways: int,
    deployments: Mapping[str, Need],
    kept: Mapping[str, tuple[Cores, ...]] = MappingProxyType({}),
    leaving: Collection[tuple[Cores, ...]] = (),
) -> CorePlan:
    """
    The first cores go to the gateways, the rest to the workers, those with the least to do first.

    A deployment that says how many workers it wants gets them. The others divide what is left, the earlier ones
    first, and each has at least one; so on a small machine workers share cores, and on one core everything does.
    ``kept`` are those of ``deployments`` that run already: they stay where they are, and how many they are. Workers on
    the cores of ``leaving`` serve until the new ones have loaded: of two cores that will have as much to do, a new one
    gets that where it is in nobody's way meanwhile.
    """
    count = max(1, min(available.count, len(available.cores)))
    slots = list(available.cores[:count])
    own, left = slots[:gateways], slots[gateways:]
    scoring = left or slots
    counts = _worker_counts(len(scoring), deployments)
    load, meanwhile = _counted(scoring, kept.values()), _counted(scoring, leaving)
    pins = dict(kept)
    for name, need in deployments.items():
        if name not in kept:
            found = tuple(_least_loaded(load, meanwhile, need.threads) for _ in range(counts[name]))
            pins[name] = found if available.can_pin else ((),) * len(found)
    gateway_pins = tuple((own[i % len(own)],) if available.can_pin else () for i in range(gateways))
    return CorePlan(gateways=gateway_pins, workers=pins)


def read_available(
    affinity: Callable[[], Collection[int]] = lambda: os.sched_getaffinity(0),
    cgroups: Path = Path("/sys/fs/cgroup"),
    membership: Path = Path("/proc/self/cgroup"),
) -> Available:
    """The cores of the affinity mask that the cpuset allows, limited in number by the CPU quota."""
    folders = {controller: list(_folders(cgroups, membership, controller)) for controller in ("cpu", "cpuset")}
    allowed = set(affinity())
    for folder in folders["cpuset"]:
        text = _first_text(folder / "cpuset.cpus.effective", folder / "cpuset.effective_cpus", folder / "cpuset.cpus")
        if text:
            # A mask outside of the cpuset cannot happen for long; if it does, the kernel's mask is the truth.
            allowed = (allowed & set(parse_cpu_list(text))) or allowed
            break
    quotas = [quota for folder in folders["cpu"] if (quota := _quota(folder)) is not None]
    count = min([len(allowed), *(max(1, ceil(quota)) for quota in quotas)])
    return Available(cores=tuple(sorted(allowed)), count=count)


def parse_cpu_list(text: str) -> list[int]:
    """The kernel's list format: ``0-2,5`` is 0, 1, 2 and 5."""
    cores: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cores.extend(range(int(first), int(last or first) + 1))
    return cores


def _worker_counts(cores: int, deployments: Mapping[str, Need]) -> dict[str, int]:
    asked = sum(need.workers * need.threads for need in deployments.values() if need.workers is not None)
    sharing = [name for name, need in deployments.items() if need.workers is None]
    free = max(0, cores - asked)
    counts = {name: need.workers for name, need in deployments.items() if need.workers is not None}
    for place, name in enumerate(sharing):
        share = free // len(sharing) + (place < free % len(sharing))
        counts[name] = max(1, share // deployments[name].threads)
    return counts


def _counted(cores: Iterable[int], groups: Iterable[tuple[Cores, ...]]) -> dict[int, int]:
    """How many workers of these groups each core has."""
    found = dict.fromkeys(cores, 0)
    for core in (core for pins in groups for cores in pins for core in cores):
        if core in found:
            found[core] += 1
    return found


def _least_loaded(load: dict[int, int], meanwhile: Mapping[int, int], count: int) -> Cores:
    """``count`` different cores, as far as there are so many; of equals those with less meanwhile, and the first."""
    cores = tuple(heapq.nsmallest(count, load, key=lambda core: (load[core], meanwhile[core])))
    for core in cores:
        load[core] += 1
    return cores


def _folders(cgroups: Path, membership: Path, controller: str) -> Iterator[Path]:
    """This process's folder in the hierarchy of ``controller`` and those above it, innermost first."""
    for root, path in _hierarchies(cgroups, _first_text(membership) or "", controller):
        # Inside a container the path may be one of the host, which is not mounted: then the root is our own folder.
        inner = root / path.strip("/") if ".." not in path else root
        while inner != root:
            if inner.is_dir():
                yield inner
            inner = inner.parent
        yield root


def _hierarchies(cgroups: Path, membership: str, controller: str) -> Iterable[tuple[Path, str]]:
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2: one hierarchy for everything
            yield cgroups, path
        elif controller in controllers.split(","):
            root = cgroups / controllers
            yield (root if root.is_dir() else cgroups / controller), path


def _quota(folder: Path) -> float | None:
    if text := _first_text(folder / "cpu.max"):
        quota, period = text.split()
        return None if quota == "max" else int(quota) / int(period)
    quota_v1 = _first_text(folder / "cpu.cfs_quota_us")
    period_v1 = _first_text(folder / "cpu.cfs_period_us")
    if quota_v1 and period_v1 and int(quota_v1) > 0:
        return int(quota_v1) / int(period_v1)
    return None


def _first_text(*paths: Path) -> str | None:
    for path in paths:
        try:
            if text := path.read_text().strip():
                return text
        except OSError:  # not this version, or not ours to read
            continue
    return None
