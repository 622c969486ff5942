"""
What runs on one machine: which processes, with which options, on which cores and sockets. Pure.

The gateways are told the workers' addresses in the plan file; the workers are told their part on the command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from gateway.config import Config
from gateway.control.endpoints import DeploymentConfig
from workers.affinity import Available, CorePlan, Need, plan_cores
from workers.child import ChildSpec
from workers.options import GroupOptions, LinkOptions, WorkerOptions

__all__ = ["Machine", "fits", "group_options", "group_spec", "python"]

_PACKAGES = Path(__file__).parents[2]
_SOCKET_PATH = 107
"""The longest path of a Unix socket on Linux."""
_SPARE = 5.0
"""Seconds that a process gets beyond its own drain time before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The processes of ``lockgate serve``."""

    addresses: Mapping[str, Mapping[str, Sequence[str]]]
    """Endpoint → deployment → workers' addresses: the plan file."""
    groups: tuple[ChildSpec, ...]
    gateways: tuple[ChildSpec, ...]
    admin_sockets: Mapping[str, Path]
    """Index of a gateway → where its admin API is."""

    @classmethod
    def plan(
        cls,
        config: Config,
        available: Available,
        sockets: Path,
        gateway_argv: Sequence[str],
        gateway_env: Mapping[str, str] | None = None,
    ) -> Machine:
        """
        ``gateway_argv``: arguments of every gateway; each gets its index and admin socket besides. ``gateway_env`` is
        added to their environment.
        """
        settings = config.settings
        deployments = {
            (endpoint.name, name): deployment
            for endpoint in config.endpoints.values()
            for name, deployment in endpoint.deployments.items()
        }
        needs = {f"{endpoint}/{name}": _need(deployment) for (endpoint, name), deployment in deployments.items()}
        cores: CorePlan = plan_cores(available, settings.gateways, needs)
        addresses: dict[str, dict[str, list[str]]] = {}
        groups: list[ChildSpec] = []
        for (endpoint, name), deployment in deployments.items():
            pins = cores.workers[f"{endpoint}/{name}"]
            paths = [sockets / f"g{len(groups)}w{i}.sock" for i in range(len(pins))]
            workers = [
                WorkerOptions(name=f"{endpoint}/{name}/{i}", address=f"unix:{path}", cores=list(pin))
                for i, (path, pin) in enumerate(zip(paths, pins, strict=True))
            ]
            addresses.setdefault(endpoint, {})[name] = [worker.address for worker in workers]
            options = group_options(deployment, workers, settings.drain_ms, settings.pool.grpc_engine)
            groups.append(group_spec(f"{endpoint}/{name}", options))
        admin = {str(i): sockets / f"admin-{i}.sock" for i in range(settings.gateways)}
        gateways = tuple(
            ChildSpec(
                name=f"gateway/{i}",
                argv=(*python("gateway", "gateway"), *gateway_argv, "--index", i, "--admin-socket", str(path)),
                env={**_environment(), **(gateway_env or {})},
                cores=cores.gateways[int(i)],
                drain=settings.drain_ms / 1000 + _SPARE,
            )
            for i, path in admin.items()
        )
        return cls(addresses=addresses, groups=tuple(groups), gateways=gateways, admin_sockets=admin)


def fits(sockets: Path) -> bool:
    """Whether sockets in this folder have names that are short enough."""
    return len(str(sockets / "g999w999.sock").encode()) <= _SOCKET_PATH


def group_options(
    deployment: DeploymentConfig,
    workers: list[WorkerOptions],
    drain_ms: int,
    engine: Literal["h2grpc", "grpcio"] = "h2grpc",
    tls: LinkOptions | None = None,
) -> GroupOptions:
    """What the workers of one deployment are told."""
    return GroupOptions(
        model=str(deployment.model),
        workers=workers,
        max_rows=deployment.max_rows,
        device=deployment.device,
        threads=deployment.threads,
        provider_options=deployment.provider_options,
        min_vsize_mb=deployment.min_vsize_mb,
        memory_limit_mb=deployment.memory_limit_mb,
        grpc_engine=engine,
        tls=tls,
        drain_ms=drain_ms,
    )


def group_spec(name: str, options: GroupOptions) -> ChildSpec:
    """The process of one deployment."""
    return ChildSpec(
        name=name,
        argv=(*python("workers"), "--options", msgspec.json.encode(options).decode()),
        env=_environment(),
        cores=tuple(sorted({core for worker in options.workers for core in worker.cores})),
        parts=tuple(worker.name for worker in options.workers),
        drain=options.drain_ms / 1000 + _SPARE,
    )


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Run a module of ours; ``-P`` because a folder called ``gateway`` where the user stands is not ours."""
    return (sys.executable, "-P", "-m", module, *arguments)


def _need(deployment: DeploymentConfig) -> Need:
    workers = deployment.workers
    if workers is None and deployment.device.startswith(("cuda", "tensorrt")):
        workers = 1  # one worker keeps a GPU busy; more would only share its memory
    return Need(workers=workers, threads=deployment.threads)


def _environment() -> dict[str, str]:
    """Lets ``-P`` find our packages where they are not installed but lie beside each other."""
    if _PACKAGES.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))}
