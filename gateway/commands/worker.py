"""``lockgate worker``: the workers of one model alone, for a pod of their own. Becomes the group process itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gateway.commands.machine import group_options, group_spec
from gateway.control.endpoints import DeploymentConfig
from gateway.core.errors import ConfigError
from workers.affinity import Available, Need, plan_cores, read_available
from workers.child import ChildSpec
from workers.options import WorkerOptions

__all__ = ["become_worker", "worker_spec"]


def become_worker(model: Path, addresses: Sequence[str], name: str, settings: dict[str, object], drain_ms: int) -> None:
    """Replace this process by the group. Raises ``ConfigError``; otherwise does not return."""
    spec = worker_spec(model, addresses, name, settings, drain_ms=drain_ms, available=read_available())
    os.execve(spec.argv[0], spec.argv, {**os.environ, **spec.env})  # noqa: S606  # this is what it is for


def worker_spec(
    model: Path,
    addresses: Sequence[str],
    name: str,
    settings: dict[str, object],
    *,
    drain_ms: int,
    available: Available,
) -> ChildSpec:
    """The process to become: one worker per address, each on its share of the cores."""
    if not model.exists():
        raise ConfigError(str(model), "no such file or folder")
    for address in addresses:
        host, _, port = address.rpartition(":")
        is_path = address.startswith("unix:/")
        if not is_path and not (host and port.isdecimal() and 0 < int(port) <= 65535):
            raise ConfigError("--address", f'expected unix:/path or host:port, got "{address}"')
    try:
        deployment = DeploymentConfig(model=model.resolve(), workers=len(addresses), **settings)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigError("command line", str(error)) from error
    # No gateway here: all cores are the workers'.
    pins = plan_cores(available, 0, {name: Need(workers=len(addresses), threads=deployment.threads)}).workers[name]
    workers = [
        WorkerOptions(name=f"{name}/{i}", address=address, cores=list(cores))
        for i, (address, cores) in enumerate(zip(addresses, pins, strict=True))
    ]
    return group_spec(name, group_options(deployment, workers, drain_ms))
