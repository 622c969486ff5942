"""Doubles for what the edge is given: a catalog, an access check and a core that answers what a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.core.access import Caller, Grant, Principal, Role
from gateway.core.catalog import DeploymentState, EndpointState
from gateway.core.errors import Forbidden, GatewayError, NotFound, Unauthenticated
from gateway.core.payload import Payload
from gateway.core.request import Answer, Deployment, Received
from gateway.core.rows import Layout, Rows, Text
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME

__all__ = ["CARAT", "CUT", "PRICE", "FakeAccess", "FakeCatalog", "FakeCore", "deployment", "endpoint", "rows_of"]

CARAT = Column(name="carat", kind=Kind.FLOAT, datatype=BY_NAME["FP64"])
CUT = Column(name="cut", kind=Kind.CATEGORICAL, datatype=BY_NAME["BYTES"], levels=("Fair", "Good", "Ideal"))
PRICE = Column(name="price", kind=Kind.FLOAT, datatype=BY_NAME["FP64"])


def deployment(
    *,
    inputs: Sequence[Column] = (CARAT, CUT),
    outputs: Sequence[Column] = (PRICE,),
    example: tuple[tuple[object, ...], ...] = ((0.23, "Ideal"),),
    endpoint: str = "diamonds",
    name: str = "blue",
    platform: str = "onnx_onnxruntime",
) -> Deployment:
    signature = Signature(inputs=tuple(inputs), outputs=tuple(outputs), example=example)
    return Deployment(endpoint=endpoint, name=name, signature=signature, platform=platform)


def endpoint(*deployments: Deployment, is_open: bool = False) -> EndpointState:
    """An endpoint of ready deployments; the first has all the traffic."""
    states = {
        each.name: DeploymentState(name=each.name, deployment=each, is_ready=True, weight=0 if i else 100)
        for i, each in enumerate(deployments)
    }
    return EndpointState(name=deployments[0].endpoint, deployments=states, is_open=is_open)


def rows_of(columns: Sequence[Column], *rows: tuple[object, ...]) -> Rows:
    """Rows of stored values: categoricals by position; strings are taken out of the record."""
    layout = Layout.of(tuple(columns))
    table = np.empty(len(rows), dtype=layout.dtype)
    texts: list[Text] = []
    for i, column in enumerate(columns):
        values = [row[i] for row in rows]
        if column.is_text:
            texts.append([value if value is None else str(value) for value in values])
        else:
            table[f"c{layout.fixed.index(column)}"] = values
    return Rows(layout, len(rows), table.tobytes(), tuple(texts))


class FakeCatalog:
    def __init__(self, *states: EndpointState) -> None:
        self._states = states

    def endpoints(self) -> Sequence[EndpointState]:
        return self._states

    def endpoint(self, name: str | None) -> EndpointState:
        if name is None and len(self._states) == 1:
            return self._states[0]
        for state in self._states:
            if state.name == name:
                return state
        raise NotFound(f'no endpoint "{name}" here')


class FakeAccess:
    """``Bearer right`` may do all, ``Bearer other`` is known and may do nothing."""

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        if caller.credential == "Bearer right":
            return Principal("caller", (Grant(frozenset({Role.SCORE})),))
        if caller.credential == "Bearer other":
            raise Forbidden("not yours")
        raise Unauthenticated("expected a bearer key")


@dataclass
class FakeCore:
    """
    Checks the credential, decodes the body as the features stage would, and answers ``rows`` or raises ``error``.

    With ``held`` set it first says ``started`` and waits until the test releases it.
    """

    rows: Rows = field(default_factory=lambda: rows_of([PRICE], (326.0,)))
    served_by: Deployment = field(default_factory=deployment)
    error: Exception | None = None
    held: asyncio.Event | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    arrivals: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released once per request."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    is_open: bool = True
    received: list[Received] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)

    async def __call__(self, request: Received, /) -> Answer:
        self.received.append(request)
        if not self.is_open:
            await FakeAccess()(request, request.endpoint, Role.SCORE)
        self.payloads.append(request.read())
        self.started.set()
        self.arrivals.release()
        if self.held is not None:
            try:
                await self.held.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if self.error is not None:
            raise self.error
        return Answer(self.served_by, self.rows)

    def fail(self, error: GatewayError) -> None:
        self.error = error
