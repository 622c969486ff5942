"""
Which groups of workers go on, which are started and which are stopped when something else is wanted. Pure.

A group, the workers of one deployment, is as it was started: its model's files, its options, its sockets and its cores
never change. So a group goes on exactly when it is what would be started in its place; everything that is the
gateways' affair (weights, mirrors, batching, timeouts, what is bound to features) starts no worker. What goes on is not
touched: only groups that are new are given cores, those with the least to do first, and sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.commands.machine import group_options
from gateway.config import Config
from gateway.control.convert import absolute
from gateway.control.endpoints import DeploymentConfig
from workers.affinity import Available, Cores, Need, plan_cores
from workers.options import GroupOptions, WorkerOptions
from workers.turns import turn_path

__all__ = ["Group", "GroupPlan", "Sockets", "Wanted", "digests_by_path", "plan_groups", "wanted_groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the workers of one deployment are to be."""

    endpoint: str
    deployment: str
    digest: str
    """Of the model's files; empty where nobody has looked."""
    options: GroupOptions
    """Without workers: where they run is not what they are."""
    need: Need

    @property
    def name(self) -> str:
        return f"{self.endpoint}/{self.deployment}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """One that runs or is to be started; told from all others by being itself."""

    endpoint: str
    deployment: str
    digest: str
    options: GroupOptions

    @property
    def name(self) -> str:
        return f"{self.endpoint}/{self.deployment}"

    @property
    def addresses(self) -> list[str]:
        return [worker.address for worker in self.options.workers]

    @property
    def pins(self) -> tuple[Cores, ...]:
        return tuple(tuple(worker.cores) for worker in self.options.workers)

    @property
    def files(self) -> list[Path]:
        """What may be left of it when it is gone."""
        return [*(Path(address.removeprefix("unix:")) for address in self.addresses), turn_path(self.options)]

    def is_what(self, wanted: Wanted) -> bool:
        """Whether starting ``wanted`` would make nothing but another one of this."""
        return (
            (self.endpoint, self.deployment, self.digest) == (wanted.endpoint, wanted.deployment, wanted.digest)
            and msgspec.structs.replace(self.options, workers=[]) == wanted.options
            and wanted.need.workers in (None, len(self.options.workers))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """Each deployment that is wanted has one of ``keep`` or ``start``; each group that was there is kept or stopped."""

    keep: tuple[Group, ...]
    start: tuple[Group, ...]
    stop: tuple[Group, ...]

    @property
    def addresses(self) -> dict[str, dict[str, list[str]]]:
        """Endpoint → deployment → addresses of its workers: the plan that gateways are told."""
        found: dict[str, dict[str, list[str]]] = {}
        for group in (*self.keep, *self.start):
            found.setdefault(group.endpoint, {})[group.deployment] = group.addresses
        return found


class Sockets:
    """
    Names for workers' sockets in a folder, each given once.

    ``life`` tells one life of the supervisor from the next: workers of one that was killed may still be leaving, and
    must not take a socket of the same name with them.
    """

    def __init__(self, folder: Path, life: str) -> None:
        self._folder, self._life, self._groups = folder, life, 0

    def take(self, workers: int) -> list[Path]:
        """For one group more."""
        self._groups += 1
        return [self._folder / f"{self._life}-{self._groups}-{i}.sock" for i in range(workers)]


def digests_by_path(models: Mapping[str, str]) -> dict[str, str]:
    """By paths as they are written in a configuration: a document may say ``/models//a`` or ``/models/x/../a``."""
    return {absolute(Path("/"), path): digest for path, digest in models.items()}


def wanted_groups(config: Config, models: Mapping[str, str]) -> list[Wanted]:
    """``models``: path → digest. Endpoints that are not loaded have no workers."""
    settings = config.settings
    digests = digests_by_path(models)
    return [
        Wanted(
            endpoint=endpoint.name,
            deployment=name,
            digest=(digest := digests.get(str(deployment.model), "")),
            options=group_options(deployment, [], settings.drain_ms, settings.pool.grpc_engine, digest=digest),
            need=_need(deployment),
        )
        for endpoint in config.endpoints.values()
        if endpoint.loaded
        for name, deployment in endpoint.deployments.items()
    ]


def plan_groups(
    present: Sequence[Group],
    wanted: Sequence[Wanted],
    available: Available,
    gateways: int,
    sockets: Callable[[int], list[Path]],
) -> GroupPlan:
    """
    ``present``: those that serve before those that are on their way; of two that would do, the first is kept.

    A deployment without a number of workers gets its share of the cores as of now; one that goes on keeps the number
    that it was started with, until the next start of the whole.
    """
    keep = {
        each.name: group
        for each in wanted
        if (group := next((g for g in present if g.is_what(each)), None)) is not None
    }
    cores = plan_cores(
        available,
        gateways,
        {each.name: each.need for each in wanted},
        {name: group.pins for name, group in keep.items()},
        [group.pins for group in present if group not in keep.values()],
    )
    start = [_placed(each, cores.workers[each.name], sockets) for each in wanted if each.name not in keep]
    kept = tuple(keep.values())
    return GroupPlan(keep=kept, start=tuple(start), stop=tuple(group for group in present if group not in kept))


def _placed(wanted: Wanted, pins: Sequence[Cores], sockets: Callable[[int], list[Path]]) -> Group:
    workers = [
        WorkerOptions(name=f"{wanted.name}/{i}", address=f"unix:{path}", cores=list(pin))
        for i, (path, pin) in enumerate(zip(sockets(len(pins)), pins, strict=True))
    ]
    return Group(
        endpoint=wanted.endpoint,
        deployment=wanted.deployment,
        digest=wanted.digest,
        options=msgspec.structs.replace(wanted.options, workers=workers),
    )


def _need(deployment: DeploymentConfig) -> Need:
    workers = deployment.workers
    if workers is None and deployment.device.startswith(("cuda", "tensorrt")):
        workers = 1  # one worker keeps a GPU busy; more would only share its memory
    return Need(workers=workers, threads=deployment.threads)
