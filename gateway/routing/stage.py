"""The routing stage: from here on a request belongs to one deployment and has a deadline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter_ns

from gateway.core.access import Role
from gateway.core.deadline import Clock
from gateway.core.errors import DeadlineExceeded, Forbidden
from gateway.core.request import Answer, Authenticated, Routed
from gateway.core.service import Service
from gateway.routing.table import RouteTable

__all__ = ["Routing"]


class Routing:
    """
    Picks by pin, by key or by weight from the table that is current when the request comes.

    A request with a pin goes to ``inner``, past whatever its endpoint does otherwise: it is neither split nor mirrored.
    """

    def __init__(
        self, table: RouteTable, inner: Service[Routed, Answer], *, clock: Clock, draw: Callable[[], float]
    ) -> None:
        self._table, self._inner, self._clock, self._draw = table, inner, clock, draw

    def install(self, table: RouteTable, inner: Service[Routed, Answer]) -> None:
        """Use both for every request from now on."""
        self._table, self._inner = table, inner

    def __call__(self, request: Authenticated, /) -> Awaitable[Answer]:
        received, principal = request.received, request.principal
        endpoint, serve = received.endpoint, self._inner
        route = self._table.routes.get(endpoint) or self._table.route(endpoint)
        # Where the wire named no endpoint, the auth stage could not ask for this one.
        if endpoint is None and not principal.may(Role.SCORE, route.endpoint):
            raise Forbidden(f'the key may not score endpoint "{route.endpoint}"')
        if received.deployment is not None:
            deployment = route.pinned(received.deployment)
        else:
            deployment = route.sole or route.pick(request, self._draw)
            if route.serve is not None:
                serve = route.serve
        received.routed = deployment
        now, wanted = self._clock(), received.deadline
        deadline = now + deployment.request_timeout_ms / 1000
        if wanted is not None and wanted < deadline:
            deadline = wanted
            if deadline <= now:
                raise DeadlineExceeded("the deadline had passed when the request arrived")
        received.timeline.route = perf_counter_ns()
        return serve(Routed(received, principal, deployment, deadline))
