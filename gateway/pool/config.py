"""How the gateway treats the workers of one deployment; the defaults suit workers on the same machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from gateway.core.bounds import DAY_MS, INT32, MOST_CALLS, MOST_PROCESSES, expect_within

__all__ = ["LinkTlsConfig", "PoolConfig"]


class LinkTlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mutual TLS with workers on TCP. Files are in PEM, and looked at again for each new link."""

    ca: Path
    """The private authority that signs workers' certificates."""
    certificate: Path
    """What this gateway shows to workers."""
    key: Path
    server_name: str = ""
    """The name in the workers' certificates, where it is not the host of their address."""


class PoolConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times in milliseconds."""

    grpc_engine: Literal["h2grpc", "grpcio"] = "h2grpc"
    """Of the links to the workers. Without ngh2 there is only grpcio, and that is used."""
    tls: LinkTlsConfig | None = None
    insecure: bool = False
    """Whether rows may go to workers on other machines in clear text."""
    batches_in_flight: int = 2
    """Per worker: one that it scores and one that is there when it has done so; ``Prefetch`` says when."""
    hang_grace_ms: int = 1000
    """After a batch's deadline, before its worker counts as hung. The worker's own watchdog should come first."""
    connect_timeout_ms: int = 5_000
    """For a connection, and for the first word on a new stream."""
    load_timeout_ms: int = 600_000
    """How long a worker that accepted a connection may take to load its model."""
    min_backoff_ms: int = 10
    """Before the first new try; a forked worker is back in less."""
    max_backoff_ms: int = 1_000
    soon_ms: int = 3_000
    """How long after losing its last worker a pool still counts as ready, because a restart is expected."""
    breaker_failures: int = 5
    """Failures in a row that take a worker out."""
    breaker_open_ms: int = 500
    """For how long, the first time; it doubles each time up to ``breaker_max_open_ms``."""
    breaker_max_open_ms: int = 30_000
    max_message_bytes: int = 256 * 1024 * 1024
    keepalive_ms: int = 30_000
    """Between pings on TCP; a Unix socket needs none."""

    def __post_init__(self) -> None:
        if self.tls is not None and self.insecure:
            raise ValueError("insecure: expected false where there is tls")
        expect_within(self, 1, DAY_MS, *(name for name in self.__struct_fields__ if name.endswith("_ms")))
        expect_within(self, 1, MOST_PROCESSES, "batches_in_flight")
        expect_within(self, 1, MOST_CALLS, "breaker_failures")
        expect_within(self, 1, INT32, "max_message_bytes")
        if self.max_backoff_ms < self.min_backoff_ms:
            raise ValueError(f"max_backoff_ms: expected at least min_backoff_ms ({self.min_backoff_ms})")
