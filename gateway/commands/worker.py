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
from workers.options import LinkOptions, WorkerOptions, is_local
from workers.tls import LinkContext, LinkFiles, LinkTlsError

__all__ = ["become_worker", "link_files", "worker_spec"]


def become_worker(
    model: Path,
    addresses: Sequence[str],
    name: str,
    settings: dict[str, object],
    drain_ms: int,
    *,
    tls: LinkFiles | None = None,
    is_insecure: bool = False,
) -> None:
    """Replace this process by the group. Raises ``ConfigError``; otherwise does not return."""
    spec = worker_spec(
        model,
        addresses,
        name,
        settings,
        drain_ms=drain_ms,
        available=read_available(),
        tls=tls,
        is_insecure=is_insecure,
    )
    os.execve(spec.argv[0], spec.argv, {**os.environ, **spec.env})  # noqa: S606  # this is what it is for


def worker_spec(
    model: Path,
    addresses: Sequence[str],
    name: str,
    settings: dict[str, object],
    *,
    drain_ms: int,
    available: Available,
    tls: LinkFiles | None = None,
    is_insecure: bool = False,
) -> ChildSpec:
    """The process to become: one worker per address, each on its share of the cores."""
    if not model.exists():
        raise ConfigError(str(model), "no such file or folder")
    for address in addresses:
        host, _, port = address.rpartition(":")
        is_path = address.startswith("unix:/")
        if not is_path and not (host and port.isdecimal() and 0 < int(port) <= 65535):
            raise ConfigError("--address", f'expected unix:/path or host:port, got "{address}"')
        if tls is None and not is_insecure and not is_local(address):
            raise ConfigError(
                "--address",
                f"expected --tls-ca, --tls-certificate and --tls-key for {address}, which others can reach; "
                "--insecure lets everybody in",
            )
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
    return group_spec(name, group_options(deployment, workers, drain_ms, tls=_checked(tls)))


def link_files(ca: Path | None, certificate: Path | None, key: Path | None) -> LinkFiles | None:
    """The three options together, or none. Raises ``ConfigError``."""
    if ca is None and certificate is None and key is None:
        return None
    if ca is None or certificate is None or key is None:
        raise ConfigError("--tls-ca", "expected --tls-ca, --tls-certificate and --tls-key together")
    return LinkFiles(ca.absolute(), certificate.absolute(), key.absolute())


def _checked(tls: LinkFiles | None) -> LinkOptions | None:
    """Tells what is wrong with the files here, where somebody reads it. Symbolic links stay what they are."""
    if tls is None:
        return None
    try:
        LinkContext(tls, is_server=True)
    except LinkTlsError as error:
        raise ConfigError("--tls-certificate", str(error)) from error
    return LinkOptions(ca=str(tls.ca), certificate=str(tls.certificate), key=str(tls.key))
