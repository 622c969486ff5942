"""The routing stage: from here on a request belongs to one deployment and has a deadline."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter_ns
from typing import Protocol, TypeAlias, runtime_checkable

from gateway.core.access import Principal, Role
from gateway.core.deadline import Clock
from gateway.core.errors import DeadlineExceeded, Forbidden
from gateway.core.request import Answer, Authenticated, Deployment, Routed
from gateway.core.service import Service, function_of
from gateway.routing.table import Route, RouteTable

__all__ = ["Divided", "Routing"]

Serve: TypeAlias = Callable[[Routed], Awaitable[Answer]]

Lead: TypeAlias = tuple[Deployment, float, Serve]
"""Where a request goes: to this deployment, with so many seconds at most, and who is next."""


@runtime_checkable
class Divided(Protocol):
    """A stage that does all it can once per deployment: ``of`` is what it is for requests of one."""

    def of(self, deployment: Deployment) -> Serve: ...


class Routing:
    """
    Picks by pin, by key or by weight from the table that is current when the request comes.

    A request with a pin goes to ``inner``, past whatever its endpoint does otherwise: it is neither split nor mirrored.
    """

    def __init__(
        self, table: RouteTable, inner: Service[Routed, Answer], *, clock: Clock, draw: Callable[[], float]
    ) -> None:
        self._clock, self._draw = clock, draw
        self.install(table, inner)

    def install(self, table: RouteTable, inner: Service[Routed, Answer]) -> None:
        """Use both for every request from now on."""
        self._table, self._inner = table, inner
        self._usual: dict[str | None, Lead] = {}
        """By endpoint, where there is nothing to choose: one deployment has all the traffic."""
        self._splits: dict[str | None, tuple[Sequence[int], Sequence[Lead]]] = {}
        """Likewise where all that is to do is to draw: the running sums of the weights, and where each leads."""
        self._drawn: dict[Deployment, Lead] = {}
        self._pinned: dict[Deployment, Lead] = {}
        """Both of deployments in the table. All of these are gone with it."""

    def __call__(self, request: Authenticated, /) -> Awaitable[Answer]:
        received = request.received
        endpoint = received.endpoint
        lead = self._usual.get(endpoint)
        if lead is None or received.deployment is not None:
            lead = self._choose(request)
        elif endpoint is None:
            self._check(request.principal, self._table.routes[None])
        received.routed, patience, serve = lead
        now = self._clock()
        deadline = now + patience
        wanted = received.deadline
        if wanted is not None and wanted < deadline:
            deadline = wanted
            if deadline <= now:
                raise DeadlineExceeded("the deadline had passed when the request arrived")
        received.timeline.route = perf_counter_ns()
        return serve(Routed(received, request.principal, lead[0], deadline))

    def _choose(self, request: Authenticated) -> Lead:
        received = request.received
        endpoint, pin = received.endpoint, received.deployment
        split = self._splits.get(endpoint)
        if split is not None and pin is None:
            if endpoint is None:
                self._check(request.principal, self._table.routes[None])
            bounds, leads = split
            return leads[bisect_right(bounds, self._draw() * 100)]
        route = self._table.routes.get(endpoint) or self._table.route(endpoint)
        if endpoint is None:
            self._check(request.principal, route)
        if pin is not None:
            deployment = route.pinned(pin)
            return self._pinned.get(deployment) or self._lead(self._pinned, deployment, self._inner)
        deployment = route.sole or route.pick(request, self._draw)
        serve = route.serve or self._inner
        lead = self._drawn.get(deployment) or self._lead(self._drawn, deployment, serve)
        self._remember(endpoint, route)
        return lead

    def _check(self, principal: Principal, route: Route) -> None:
        """Where the wire named no endpoint, the auth stage could not ask for this one."""
        if not principal.may(Role.SCORE, route.endpoint):
            raise Forbidden(f'the key may not score endpoint "{route.endpoint}"')

    def _remember(self, endpoint: str | None, route: Route) -> None:
        """What is asked of the route no more, because it says the same each time."""
        if route.key is not None:
            return
        leads = []
        for each in route.weighted:
            lead = self._drawn.get(each) if each is not None else None
            if lead is None:  # not loaded, or not drawn yet: what cannot be made of it is nothing to the others
                return
            leads.append(lead)
        if len(leads) == 1:
            self._usual[endpoint] = leads[0]
        else:
            self._splits[endpoint] = route.bounds, leads

    def _lead(self, known: dict[Deployment, Lead], deployment: Deployment, serve: Service[Routed, Answer]) -> Lead:
        next_one = serve.of(deployment) if isinstance(serve, Divided) else function_of(serve)
        lead = known[deployment] = deployment, deployment.request_timeout_ms / 1000, next_one
        return lead
