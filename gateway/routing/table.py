"""
Which deployment gets a request: an immutable table, replaced whole, so that no request sees half a change.

What differs between endpoints (a key that requests stick to, a mirror) is chosen when the table is made. An endpoint
that has neither pays for neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.catalog import EndpointState, not_loaded
from gateway.core.errors import NotFound, NotReady, OutOfService
from gateway.core.request import Answer, Authenticated, Deployment, Routed
from gateway.core.service import Service
from gateway.routing.split import Split
from gateway.routing.sticky import KeyOf

__all__ = ["Route", "RouteTable", "Way"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What an endpoint does otherwise than others."""

    key: KeyOf | None = None
    """What requests stick by; None: nothing."""
    serve: Service[Routed, Answer] | None = None
    """Where requests go that insist on no deployment; None: where all go. A mirror stands there."""


_PLAIN = Way()


@dataclass(frozen=True, slots=True)
class Route:
    """The deployments of one endpoint; None stands for one that has not loaded yet."""

    endpoint: str
    deployments: Mapping[str, Deployment | None]
    split: Split
    weighted: tuple[Deployment | None, ...] = ()
    """Those with traffic."""
    sole: Deployment | None = None
    """The only one with traffic, loaded: there is nothing to draw."""
    bounds: tuple[int, ...] = ()
    """Running sums of their weights; the last one is 100, or there is none."""
    positional: tuple[str, ...] = ()
    """Names of columns that come without: the inputs of the deployment with most traffic."""
    key: KeyOf | None = None
    serve: Service[Routed, Answer] | None = None
    is_loaded: bool = True
    failed: frozenset[str] = frozenset()
    """Of those that have not loaded, the ones that could not."""

    def pinned(self, name: str) -> Deployment:
        """
        The deployment that the caller insists on.

        Raises ``NotFound`` for one that is not there, ``NotReady`` before its model is loaded.
        """
        if name not in self.deployments:
            raise NotFound(f'endpoint "{self.endpoint}" has no deployment "{name}"')
        return self._loaded(name)

    def pick(self, request: Authenticated, draw: Callable[[], float]) -> Deployment:
        """
        The one that the request's key or ``draw`` falls on.

        Raises ``OutOfService`` without traffic, ``NotReady`` before its model is loaded; a key in the body may raise
        ``InvalidInput``.
        """
        split = self.split
        if not split.names:
            raise OutOfService(f'endpoint "{self.endpoint}" is out of service: no deployment has traffic')
        key = self.key(request, self.positional) if self.key is not None else None
        return self._loaded(split.at(draw()) if key is None else split.of(key))

    def _loaded(self, name: str) -> Deployment:
        deployment = self.deployments[name]
        if not self.is_loaded:
            raise NotReady(f'endpoint "{self.endpoint}" is unloaded')
        if deployment is None:
            raise not_loaded(self.endpoint, name, has_failed=name in self.failed)
        return deployment


class RouteTable:
    """
    All routes; immutable. ``ways`` by endpoint, where there is one that differs. ``before``: the table whose place it
    takes; routes of endpoints whose state and way are those objects still are not made again.
    """

    __slots__ = ("_made", "_names", "routes")

    def __init__(
        self,
        endpoints: Sequence[EndpointState],
        ways: Mapping[str, Way] | None = None,
        before: RouteTable | None = None,
    ) -> None:
        ways, known = ways or {}, before._made if before is not None else {}
        self._made: dict[str, tuple[EndpointState, Way, Route]] = {}
        for state in endpoints:
            way, made = ways.get(state.name, _PLAIN), known.get(state.name)
            if made is None or made[0] is not state or made[1] is not way:
                made = state, way, _route(state, way)
            self._made[state.name] = made
        self.routes: dict[str | None, Route] = {name: made[2] for name, made in self._made.items()}
        """By endpoint; where there is only one, also without its name."""
        self._names = [state.name for state in endpoints]
        if len(self.routes) == 1:
            (self.routes[None],) = self.routes.values()

    def route(self, endpoint: str | None) -> Route:
        """The named endpoint's route, or the only one when no name is given. Raises ``NotFound``."""
        route = self.routes.get(endpoint)
        if route is not None:
            return route
        if endpoint is None:
            raise NotFound(f"name an endpoint: {', '.join(self._names)}")
        raise NotFound(f'no endpoint "{endpoint}" here')


def _route(state: EndpointState, way: Way) -> Route:
    speaks = state.default.deployment
    split = Split(state.name, {name: deployment.weight for name, deployment in state.deployments.items()})
    weighted = tuple(state.deployments[name].deployment for name in split.names)
    return Route(
        endpoint=state.name,
        deployments={name: deployment.deployment for name, deployment in state.deployments.items()},
        split=split,
        weighted=weighted,
        sole=weighted[0] if len(weighted) == 1 and state.is_loaded else None,
        bounds=split.bounds,
        positional=tuple(column.name for column in speaks.signature.inputs) if speaks is not None else (),
        key=way.key if len(split.names) > 1 else None,  # with one to choose from nobody has to look for a key
        serve=way.serve,
        is_loaded=state.is_loaded,
        failed=frozenset(name for name, deployment in state.deployments.items() if deployment.has_failed),
    )
