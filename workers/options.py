"""What the processes of one deployment are told at start: one JSON object on their command line, no secrets in it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Literal

import msgspec

__all__ = ["GroupOptions", "LinkOptions", "WorkerOptions", "is_local"]


def is_local(address: str) -> bool:
    """Whether ``unix:/path`` or ``host:port`` can be reached from this machine alone."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class LinkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files for mutual TLS with the gateways; see ``workers.tls``."""

    ca: str
    certificate: str
    key: str


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One worker process."""

    name: str
    """``endpoint/deployment/index``, for logs."""
    address: str
    """``unix:/path`` or ``host:port``."""
    cores: list[int] = []
    """Cores it is pinned to; empty: wherever the scheduler likes."""


class GroupOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All workers of one deployment on this machine, children of one process (``workers.zygote``)."""

    model: str
    """A model folder, or a single ``.onnx`` or ``.rds`` file."""
    digest: str = ""
    """Of the files that it is to be loaded from (``workers.model_digest``); others are refused. Empty: any will do."""
    workers: list[WorkerOptions]
    max_rows: int = 64
    """The largest batch that the gateway will send; warm-up goes up to it."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda:N`` or ``tensorrt:N``; ONNX only."""
    threads: int = 1
    """Intra-op threads of one worker."""
    provider_options: dict[str, Any] = {}
    """Handed to the ONNX Runtime execution provider as they are."""
    min_vsize_mb: int = 256
    """R's ``--min-vsize``: room before R collects by itself."""
    memory_limit_mb: int = 0
    """Resident memory at which a worker is recycled; 0: never."""
    timeout_ms: int = 30_000
    """Hard limit for one batch that carries no budget of its own."""
    interrupt_grace_ms: int = 250
    """Between the soft interrupt of a batch over its budget and the end of its worker."""
    grpc_engine: Literal["h2grpc", "grpcio"] = "h2grpc"
    """What serves; without ngh2 there is only grpcio."""
    tls: LinkOptions | None = None
    """For addresses on TCP."""
    drain_ms: int = 10_000
    """How long accepted batches may take after SIGTERM."""
