"""
Whose CPU time a run used, read from /proc: per role (gateway, worker), and what the rest of the machine took meanwhile.

The kernel counts a process's time with all its threads; it is exact although it is told in ticks, because the ticks
are a scaled sum of the scheduler's nanoseconds. Other work on the bench's cores makes a run worthless; it shows in
``foreign``: what neither the server nor the load used of them, as a share of one core.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TICK", "Meter", "Used", "busy_seconds", "descendants", "process_seconds", "resident_mb", "stolen_seconds"]

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds in one of the kernel's ticks."""

Roles = Mapping[str, Sequence[int]]
"""Role → process ids."""


@dataclass(frozen=True, slots=True)
class Used:
    """Between start and end of a run: CPU seconds by role, and the share of one core that others used."""

    seconds: Mapping[str, float]
    foreign: float


class Meter:
    """Reads everything at the start, and again when asked what was used since."""

    def __init__(self, roles: Roles, cores: Collection[int]) -> None:
        self._roles, self._cores = roles, cores
        self._seconds = {role: _cpu_seconds(pids) for role, pids in roles.items()}
        self._busy, self._own, self._at = self._busy_seconds(), _own_seconds(), time.monotonic()

    def used(self) -> Used:
        """Load generators must have ended: the kernel tells a child's time when it is gone."""
        seconds = {role: _cpu_seconds(pids) - self._seconds[role] for role, pids in self._roles.items()}
        others = self._busy_seconds() - self._busy - (_own_seconds() - self._own) - sum(seconds.values())
        return Used(seconds, max(0.0, others / (time.monotonic() - self._at)))

    def _busy_seconds(self) -> float:
        return busy_seconds(Path("/proc/stat").read_text(), self._cores)


def resident_mb(pids: Sequence[int]) -> float:
    """Resident memory of these processes together; pages they share count in each."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descendants(pid: int) -> list[int]:
    """Children of ``pid``, their children, and so on."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def busy_seconds(stat: str, cores: Collection[int]) -> float:
    """Busy time of these cores together, from /proc/stat: user, nice, system, irq and softirq."""
    busy = 0
    for user, nice, system, _, _, irq, softirq, *_ in _of_cores(stat, cores):
        busy += user + nice + system + irq + softirq
    return busy * TICK


def stolen_seconds(stat: str, cores: Collection[int]) -> float:
    """How long these cores together wanted to run and the host of this virtual machine did not let them."""
    return sum(times[7] for times in _of_cores(stat, cores)) * TICK


def process_seconds(stat: str) -> float:
    """utime + stime of one line of /proc/<pid>/stat, whose second field, a name, may hold spaces and parentheses."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def _of_cores(stat: str, cores: Collection[int]) -> Iterator[list[int]]:
    """The ticks of each, in the order of proc(5)."""
    for line in stat.splitlines():
        name, *times = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            yield [int(ticks) for ticks in times]


def _cpu_seconds(pids: Sequence[int]) -> float:
    return sum(process_seconds(Path(f"/proc/{pid}/stat").read_text()) for pid in pids)


def _own_seconds() -> float:
    """This process and its children that ended: the load generators."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
