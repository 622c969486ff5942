"""
Which deployment gets a request: an immutable table, replaced whole, so that no request sees half a change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gateway.core.catalog import EndpointState
from gateway.core.errors import NotFound, NotReady, OutOfService
from gateway.core.request import Deployment

__all__ = ["Route", "RouteTable"]


@dataclass(frozen=True, slots=True)
class Route:
    """The deployments of one endpoint; None stands for one that has not loaded yet."""

    endpoint: str
    deployments: Mapping[str, Deployment | None]
    weighted: tuple[str, ...]
    """Deployments with traffic."""
    bounds: tuple[int, ...]
    """Running sums of their weights; the last one is 100, or there is none."""

    def pick(self, pin: str | None, draw: float) -> Deployment:
        """
        The pinned deployment, or the one that ``draw`` (0 ≤ draw < 1) falls on.

        Raises ``NotFound`` for an unknown pin, ``OutOfService`` without traffic, ``NotReady`` before
        its model is loaded.
        """
        if pin is not None:
            if pin not in self.deployments:
                raise NotFound(f'endpoint "{self.endpoint}" has no deployment "{pin}"')
            name = pin
        elif not self.weighted:
            raise OutOfService(f'endpoint "{self.endpoint}" is out of service: no deployment has traffic')
        elif len(self.weighted) == 1:
            name = self.weighted[0]
        else:
            name = self.weighted[bisect_right(self.bounds, draw * 100)]
        deployment = self.deployments[name]
        if deployment is None:
            raise NotReady(f'deployment "{name}" of endpoint "{self.endpoint}" has not loaded its model yet')
        return deployment


class RouteTable:
    """All routes; immutable."""

    __slots__ = ("_only", "_routes")

    def __init__(self, endpoints: Sequence[EndpointState]) -> None:
        self._routes = {state.name: _route(state) for state in endpoints}
        self._only = next(iter(self._routes.values())) if len(self._routes) == 1 else None

    def route(self, endpoint: str | None) -> Route:
        """The named endpoint's route, or the only one when no name is given. Raises ``NotFound``."""
        if endpoint is None:
            if self._only is None:
                raise NotFound(f"name an endpoint: {', '.join(self._routes)}")
            return self._only
        route = self._routes.get(endpoint)
        if route is None:
            raise NotFound(f'no endpoint "{endpoint}" here')
        return route


def _route(state: EndpointState) -> Route:
    weighted = tuple(name for name, deployment in state.deployments.items() if deployment.weight > 0)
    return Route(
        endpoint=state.name,
        deployments={name: deployment.deployment for name, deployment in state.deployments.items()},
        weighted=weighted,
        bounds=tuple(accumulate(state.deployments[name].weight for name in weighted)),
    )
