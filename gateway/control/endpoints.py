"""
What a user writes about one endpoint and its deployments: ``endpoints/<name>.yaml``.

The words are Azure ML's where Azure ML has one. Everything is checked when it is read: an unknown key, weights that
do not sum to 100 or a model that is not there is an error that names it, and nothing is started.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from gateway.control.rollout_config import CompareConfig, StickyConfig
from gateway.core.bounds import DAY_MS, MEMORY_MB, MOST_BATCH, MOST_PROCESSES, MOST_ROWS, expect_within

__all__ = ["AuthMode", "DeploymentConfig", "EndpointConfig"]

AuthMode: TypeAlias = Literal["key", "token", "aad_token"]
"""What callers of an endpoint show: one of its keys, a token that it issued, or one of the identity provider."""

NAME = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]{0,30}[a-zA-Z0-9])?")
"""Azure ML's rule for endpoint and deployment names, without its lower limit of three characters."""

SOURCE = re.compile(r"[^:\s]+:[^:\s]+")
"""A feature of a view, as a deployment names it."""


class DeploymentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of an endpoint: a model and how it is run."""

    model: Path
    """A model folder, or a single ``.onnx`` or ``.rds`` file; relative to the file that names it."""
    workers: int | None = None
    """Scoring processes; None shares the cores that the gateways leave."""
    max_rows: int = 64
    """Rows in one batch."""
    latency_goal_ms: float | None = None
    """Batch latency towards which the batch size is adapted; None keeps ``max_rows``."""
    max_queue_rows: int = 4096
    """Rows that may wait; also the most that one request may carry."""
    idempotent: bool = True
    """Whether rows may be scored again after a worker died with them."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda:N`` or ``tensorrt:N``; ONNX only."""
    threads: int = 1
    """Threads of one worker inside one ONNX Runtime operator."""
    provider_options: dict[str, Any] = {}
    """Handed to the ONNX Runtime execution provider as they are."""
    min_vsize_mb: int = 256
    """Room that R gets before it collects garbage by itself."""
    memory_limit_mb: int = 0
    """Resident memory at which a worker is replaced; 0: never."""
    features: dict[str, str] = {}
    """Input of the model → ``view:feature`` that it is read from when the caller does not send it."""

    def __post_init__(self) -> None:
        for name, source in self.features.items():
            if not SOURCE.fullmatch(source):
                raise ValueError(f'features: expected view:feature for {name}, got "{source}"')
        expect_within(self, 1, MOST_BATCH, "max_rows")
        expect_within(self, 1, MOST_ROWS, "max_queue_rows")
        expect_within(self, 1, MOST_PROCESSES, "workers", "threads")
        expect_within(self, 0, MEMORY_MB, "min_vsize_mb", "memory_limit_mb")
        expect_within(self, 0, DAY_MS, "latency_goal_ms", is_above=True)
        if not re.fullmatch(r"auto|cpu|(cuda|tensorrt):\d+", self.device):
            raise ValueError(f'device: expected auto, cpu, cuda:N or tensorrt:N, got "{self.device}"')


class EndpointConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One endpoint."""

    name: str
    deployments: dict[str, DeploymentConfig]
    description: str = ""
    auth_mode: AuthMode = "key"
    """What callers show; the admin API takes keys for every endpoint."""
    traffic: dict[str, int] = {}
    """Deployment → percent; sums to 100, or to 0 to take the endpoint out of service."""
    sticky: StickyConfig | None = None
    """What keeps a caller with one deployment; None draws anew for each request."""
    mirror_traffic: dict[str, int] = {}
    """Shadow → percent of the requests that it is sent as well; its answers are compared and nobody waits for them."""
    mirror_max_rows: int = 1024
    """Rows that may be with all shadows together; what comes beyond is dropped and counted."""
    compare: CompareConfig = CompareConfig()
    request_timeout_ms: int = 5000
    """For requests that bring no deadline of their own, and the most that any request gets."""
    loaded: bool = True
    """False: the endpoint is listed, but has no workers, and requests are told that it is unloaded."""

    def __post_init__(self) -> None:
        for name in (self.name, *self.deployments):
            if not NAME.fullmatch(name):
                raise ValueError(f'name: expected a letter, then up to 31 letters, digits or dashes, got "{name}"')
        if not self.deployments:
            raise ValueError("deployments: expected at least one")
        expect_within(self, 1, 300_000, "request_timeout_ms")
        if not self.traffic and len(self.deployments) > 1:
            raise ValueError(f"traffic: expected a percentage for {', '.join(self.deployments)}")
        for name, percent in self.traffic.items():
            if name not in self.deployments:
                raise ValueError(f'traffic: "{name}" is not one of the deployments {", ".join(self.deployments)}')
            if not 0 <= percent <= 100:
                raise ValueError(f"traffic: expected 0 to 100 for {name}, got {percent}")
        if self.traffic and sum(self.traffic.values()) not in (0, 100):
            raise ValueError(f"traffic: expected a sum of 100, or 0, got {sum(self.traffic.values())}")
        for name, percent in self.mirror_traffic.items():
            if name not in self.deployments:
                raise ValueError(
                    f'mirror_traffic: "{name}" is not one of the deployments {", ".join(self.deployments)}'
                )
            if not 0 <= percent <= 100:
                raise ValueError(f"mirror_traffic: expected 0 to 100 for {name}, got {percent}")
            if percent and self.weight(name):
                raise ValueError(f"mirror_traffic: {name} has traffic of its own, expected one or the other")
        expect_within(self, 1, MOST_ROWS, "mirror_max_rows")

    def weight(self, deployment: str) -> int:
        """Percent of the traffic; all of it for an only deployment without ``traffic``."""
        return self.traffic.get(deployment, 0) if self.traffic else 100

    @property
    def shadows(self) -> dict[str, int]:
        """Those that are sent anything."""
        return {name: percent for name, percent in self.mirror_traffic.items() if percent}
