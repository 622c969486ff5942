"""
From an HTTP request to the core and back: the one place that reads the headers all families share.

Nothing of the body is decoded here; the ``read`` closure does that, once the caller is known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter_ns

from gateway.core.catalog import Catalog, EndpointState
from gateway.core.deadline import Clock, Deadline
from gateway.core.errors import InvalidInput, NotFound
from gateway.core.payload import Payload
from gateway.core.request import Answer, Received
from gateway.core.service import Service
from gateway.core.timeline import Timeline
from gateway.edge.http_message import HttpRequest
from gateway.edge.request_id import caller_id
from gateway.edge.status import Personality

__all__ = ["DEADLINE_HEADER", "DEPLOYMENT_HEADER", "ENDPOINT_HEADER", "Intake"]

DEPLOYMENT_HEADER = "azureml-model-deployment"
"""Azure ML's: insists on a deployment in a request, names the one that served in an answer."""
ENDPOINT_HEADER = "lockgate-endpoint"
"""Names the endpoint where neither host nor path does."""
DEADLINE_HEADER = "x-request-timeout-ms"
"""Milliseconds until the caller stops waiting."""


class Intake:
    """Asks ``service`` to score what an HTTP request carries."""

    def __init__(
        self, service: Service[Received, Answer], catalog: Catalog, *, personality: Personality, clock: Clock
    ) -> None:
        self._service, self._catalog, self._personality, self._clock = service, catalog, personality, clock
        self._checks_ids = personality == "azmlinfsrv"
        self._states: Sequence[EndpointState] = ()
        """Those that ``_names`` were made of."""
        self._names: dict[str, str] = {}
        """By their lower-case form, as hosts are."""

    def score(
        self,
        request: HttpRequest,
        read: Callable[[], Payload],
        *,
        endpoint: str | None,
        deployment: str | None = None,
        budget: float | None = None,
    ) -> Awaitable[Answer]:
        """
        ``deployment`` None leaves the pin to the header; ``budget`` is the seconds that the body itself allows, and the
        earlier of it and the header's counts. Raises ``GatewayError``, at once or when it is awaited.
        """
        headers = request.headers
        deadline = self._deadline(headers[DEADLINE_HEADER]) if DEADLINE_HEADER in headers else None
        if budget is not None:
            from_body = self._clock() + budget
            deadline = from_body if deadline is None else min(deadline, from_body)
        # A call that finds nothing costs more than to ask here.
        has_id = self._checks_ids or "x-ms-client-request-id" in headers or "x-ms-request-id" in headers
        request.call = call = Received(
            endpoint,
            deployment or headers.get(DEPLOYMENT_HEADER) or None,
            headers.get("authorization"),
            deadline,
            read,
            "rest",
            request.peer,
            caller_id(headers, self._personality) if has_id else "",
            headers.get("traceparent", ""),
            len(request.body),
            request.certificate,
            Timeline(request.received, perf_counter_ns()),
            headers,
            request.id,
        )
        if endpoint is not None or len(self._catalog.endpoints()) == 1:
            return self._service(call)
        return self._without_name(call)

    async def _without_name(self, call: Received) -> Answer:
        """For a request that names none of several endpoints: if that is what is wrong, its caller is told how to."""
        try:
            return await self._service(call)
        except NotFound as error:
            raise NotFound(
                f"{error}. Name the endpoint by host (<endpoint>.<domain>), by path "
                f"(/api/v1/endpoint/<endpoint>/score) or by the header {ENDPOINT_HEADER}"
            ) from error

    def endpoint_of(self, request: HttpRequest, captures: Mapping[str, str]) -> str | None:
        """
        The endpoint that path, header or host names, in this order; None when none does.

        Only a host whose first label is an endpoint counts, so that any name may point at a server of one endpoint.
        """
        named = captures.get("endpoint") or request.headers.get(ENDPOINT_HEADER)
        if named:
            return named
        label, dot, _ = request.headers.get("host", "").partition(".")
        if not dot or label.isdigit():  # an address: names begin with a letter
            return None
        states = self._catalog.endpoints()
        if states is not self._states:
            self._states, self._names = states, {state.name.lower(): state.name for state in reversed(states)}
        return self._names.get(label.lower())

    def _deadline(self, timeout_ms: str) -> Deadline:
        if not (timeout_ms.isascii() and timeout_ms.isdigit() and len(timeout_ms) <= 9 and int(timeout_ms) > 0):
            raise InvalidInput(f"{DEADLINE_HEADER}: expected a whole number of milliseconds from 1 to 999999999")
        return self._clock() + int(timeout_ms) / 1000
