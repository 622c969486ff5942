"""
One deployment in one gateway process: the links to its workers, and the line of rows before them.

What is loaded is known only when a worker says so. From then on the lane has a ``Deployment`` to route to, and a
``Batcher`` where its rows wait. A lane is never changed: where a reload wants anything of it otherwise, another one
takes its place, on the same links if the workers stay, and this one answers what it has accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.config import Config
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.control.served import Served
from gateway.core.catalog import DeploymentState
from gateway.core.description import Description
from gateway.core.errors import ConfigError
from gateway.core.request import Deployment
from gateway.core.signature import Signature
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.features.bind import bind
from gateway.features.config import ViewFile
from gateway.pool.pool import Pool
from gateway.serving.lines import Key, Lines

__all__ = ["Lane", "LaneConfig"]

log = structlog.get_logger()

_REMEMBERED = 2
"""Deployments of one lane: the last one and the one before it, which requests that are under way may still have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneConfig:
    """All that a lane depends on: while this is the same, so is the lane."""

    endpoint: str
    name: str
    addresses: tuple[str, ...]
    """Of the workers; others mean other workers."""
    model: str
    """Digest of the model's files."""
    wanted: DeploymentConfig
    request_timeout_ms: int
    views: tuple[ViewFile, ...] = ()
    """Those that the deployment takes features from."""

    @property
    def key(self) -> Key:
        return self.endpoint, self.name

    @classmethod
    def of(cls, config: Config, endpoint: EndpointConfig, name: str, served: Served) -> LaneConfig:
        """Raises ``ConfigError`` for a deployment without workers."""
        wanted = endpoint.deployments[name]
        addresses = tuple(served.plan.get(endpoint.name, {}).get(name, ()))
        if not addresses:
            raise ConfigError("plan", f"expected addresses of the workers of {endpoint.name}/{name}")
        views = sorted({source.partition(":")[0] for source in wanted.features.values()})
        return cls(
            endpoint=endpoint.name,
            name=name,
            addresses=addresses,
            model=served.models.get(str(wanted.model), ""),
            wanted=wanted,
            request_timeout_ms=endpoint.request_timeout_ms,
            views=tuple(config.views[view] for view in views),
        )


class Lane:
    """``changed`` is called after every change of ``state``."""

    def __init__(self, config: LaneConfig, pool: Pool, lines: Lines, changed: Callable[[], None]) -> None:
        self.config, self.pool = config, pool
        self.deployment: Deployment | None = None
        """None until a worker has loaded the model."""
        self.unfit = ""
        """Why what was loaded cannot be served with this configuration."""
        self._lines, self._changed = lines, changed
        self._batcher: Batcher | None = None
        self._seen: Description | None = None
        self._made: list[Deployment] = []
        self._is_ready = False
        pool.on_change(self._look)
        self._look()

    @property
    def name(self) -> str:
        """For logs and messages."""
        return f"{self.config.endpoint}/{self.config.name}"

    @property
    def patience(self) -> float:
        """Seconds that a request of this lane may have."""
        return self.config.request_timeout_ms / 1000

    @property
    def is_settled(self) -> bool:
        """Whether it is known how it will do: it can serve, or it never will."""
        return bool(self.unfit) or (self.deployment is not None and self._is_ready)

    def state(self, weight: int, *, has_failed: bool = False) -> DeploymentState:
        """As clients may see it. ``has_failed``: its workers could not load the model the last time they tried."""
        reason = self.unfit
        if self.deployment is None and not reason:
            reason = "the model has failed to load" if has_failed else "no worker has loaded the model yet"
        if not self._is_ready and not reason:
            reason = "no worker can serve at the moment"
        return DeploymentState(
            name=self.config.name,
            deployment=self.deployment,
            is_ready=self._is_ready and not reason,
            reason=reason,
            weight=weight,
            has_failed=self.deployment is None and (has_failed or bool(self.unfit)),
        )

    async def close(self, drain: float, why: str) -> None:
        """Answer what was accepted, for at most ``drain`` seconds; nothing more is taken, and ``why`` is told."""
        self.pool.off_change(self._look)
        if self._batcher is not None:
            await self._batcher.close(drain, why)
        for deployment in self._made:
            self._lines.remove(deployment)

    def _look(self) -> None:
        """Called also where nothing is new for clients, so nothing is done then."""
        description = self.pool.description
        if description is not self._seen and description is not None:
            self._seen = description
            self._describe(description)
        elif self.pool.is_ready == self._is_ready:
            return
        self._is_ready = self.pool.is_ready
        self._changed()

    def _describe(self, described: Description) -> None:
        config, known = self.config, self.deployment
        facts = described.signature, described.platform
        if known is not None and (known.model_signature or known.signature, known.platform) == facts:
            return
        try:
            signature = self._client_signature(described.signature)
        except ConfigError as error:
            self.unfit = str(error)
            log.error("gateway.features_do_not_fit", endpoint=config.endpoint, deployment=config.name, error=self.unfit)
            return
        self.unfit = ""
        wanted = config.wanted
        max_rows = min(wanted.max_rows, described.max_rows or wanted.max_rows)
        self.deployment = deployment = Deployment(
            endpoint=config.endpoint,
            name=config.name,
            signature=signature or described.signature,
            model_signature=described.signature if signature else None,
            platform=described.platform,
            model=config.model,
            max_rows=max_rows,
            max_queue_rows=wanted.max_queue_rows,
            request_timeout_ms=config.request_timeout_ms,
            is_idempotent=wanted.idempotent,
        )
        if self._batcher is None:
            batching = BatchConfig(
                max_rows=max_rows,
                max_queue_rows=max(wanted.max_queue_rows, max_rows),
                latency_goal_ms=wanted.latency_goal_ms,
            )
            self._batcher = Batcher(
                self.name,
                batching,
                self.pool,
                is_idempotent=wanted.idempotent,
                counters=self._lines.counters(config.key),
            )
        self._lines.put(deployment, self._batcher)
        self._made.append(deployment)
        if len(self._made) > _REMEMBERED:
            self._lines.remove(self._made.pop(0))
        log.info(
            "gateway.deployment_ready",
            endpoint=config.endpoint,
            deployment=config.name,
            platform=described.platform,
        )

    def _client_signature(self, model: Signature) -> Signature | None:
        """What clients send where features complete it, None for what the model takes. Raises ``ConfigError``."""
        features = self.config.wanted.features
        if not features:
            return None
        return bind(self.name, model, features, {view.name: view for view in self.config.views}).signature
