"""Small catalogs and requests to hand to whoever only looks at them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.catalog import DeploymentState, EndpointState, Stats
from gateway.core.errors import NotFound
from gateway.core.payload import Payload, Records
from gateway.core.request import Deployment, Received
from gateway.core.signature import Signature

__all__ = ["FixedCatalog", "FixedStats", "deployment", "received"]


def deployment(endpoint: str = "price", name: str = "blue") -> Deployment:
    return Deployment(endpoint=endpoint, name=name, signature=Signature(inputs=(), outputs=()))


def received(
    endpoint: str | None = "price",
    pinned: str | None = None,
    routed: Deployment | None = None,
    protocol: str = "rest",
    request_id: str = "",
) -> Received:
    def read() -> Payload:
        return Records([])

    return Received(
        endpoint=endpoint,
        deployment=pinned,
        credential="Bearer lg_secret",
        deadline=None,
        read=read,
        protocol=protocol,
        peer="192.0.2.1",
        request_id=request_id,
        routed=routed,
    )


class FixedCatalog:
    """Endpoints that never change."""

    def __init__(self, *endpoints: str, deployments: Sequence[str] = ("blue", "green")) -> None:
        self._endpoints = {
            name: EndpointState(
                name=name,
                deployments={d: DeploymentState(name=d, deployment=None, is_ready=True) for d in deployments},
            )
            for name in endpoints
        }

    def endpoints(self) -> Sequence[EndpointState]:
        return list(self._endpoints.values())

    def endpoint(self, name: str | None) -> EndpointState:
        if name is None and len(self._endpoints) == 1:
            return next(iter(self._endpoints.values()))
        if name not in self._endpoints:
            raise NotFound("no such endpoint")
        return self._endpoints[name]


class FixedStats:
    """The same figures for every deployment."""

    def __init__(self, stats: Stats | None = None) -> None:
        self._stats = stats or Stats()

    def stats(self, endpoint: str, deployment: str) -> Stats:
        return self._stats
