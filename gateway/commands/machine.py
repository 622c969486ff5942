"""
How the processes of one machine are started: gateways and groups of workers, as children of whoever supervises. Pure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from gateway.config import Settings
from gateway.control.endpoints import DeploymentConfig
from workers.affinity import Available, plan_cores
from workers.child import ChildSpec
from workers.options import GroupOptions, LinkOptions, WorkerOptions

__all__ = ["admin_sockets", "fits", "gateway_specs", "group_options", "group_spec", "python"]

_PACKAGES = Path(__file__).parents[2]
_SOCKET_PATH = 107
"""The longest path of a Unix socket on Linux."""
_SPARE = 5.0
"""Seconds that a process gets beyond its own drain time before it is killed."""


def admin_sockets(gateways: int, folder: Path) -> dict[str, Path]:
    """Index of a gateway → where its admin API is."""
    return {str(i): folder / f"admin-{i}.sock" for i in range(gateways)}


def gateway_specs(
    settings: Settings,
    available: Available,
    sockets: Mapping[str, Path],
    arguments: Sequence[str],
    environment: Mapping[str, str],
) -> list[ChildSpec]:
    """``arguments`` and ``environment`` are those of every gateway; each gets its index and admin socket besides."""
    cores = plan_cores(available, settings.gateways, {}).gateways
    return [
        ChildSpec(
            name=f"gateway/{index}",
            argv=(*python("gateway", "gateway"), *arguments, "--index", index, "--admin-socket", str(path)),
            env={**_environment(), **environment},
            cores=cores[int(index)],
            drain=settings.drain_ms / 1000 + _SPARE,
        )
        for index, path in sockets.items()
    ]


def fits(sockets: Path) -> bool:
    """Whether sockets in this folder have names that are short enough."""
    return len(str(sockets / "ffff-99999-999.sock").encode()) <= _SOCKET_PATH


def group_options(
    deployment: DeploymentConfig,
    workers: list[WorkerOptions],
    drain_ms: int,
    engine: Literal["h2grpc", "grpcio"] = "h2grpc",
    *,
    tls: LinkOptions | None = None,
    digest: str = "",
) -> GroupOptions:
    """What the workers of one deployment are told. ``digest`` is that of the model's files; empty: any will do."""
    return GroupOptions(
        model=str(deployment.model),
        digest=digest,
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


def group_spec(name: str, options: GroupOptions, *, is_gentle: bool = False) -> ChildSpec:
    """The process of one deployment; ``is_gentle``: it loads while others serve."""
    return ChildSpec(
        name=name,
        argv=(*python("workers"), "--options", msgspec.json.encode(options).decode()),
        env=_environment(),
        cores=tuple(sorted({core for worker in options.workers for core in worker.cores})),
        parts=tuple(worker.name for worker in options.workers),
        drain=options.drain_ms / 1000 + _SPARE,
        is_gentle=is_gentle,
    )


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Run a module of ours; ``-P`` because a folder called ``gateway`` where the user stands is not ours."""
    return (sys.executable, "-P", "-m", module, *arguments)


def _environment() -> dict[str, str]:
    """Lets ``-P`` find our packages where they are not installed but lie beside each other."""
    if _PACKAGES.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))}
