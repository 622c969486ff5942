"""
A gateway of two files for the protocol's tests: real codecs, real assembly, and models that do what they are told.

``echo`` answers its own inputs, so whatever a codec spoils shows in the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns

from gateway.core.access import Caller, Grant, Principal, Role
from gateway.core.catalog import DeploymentState, EndpointState, Stats
from gateway.core.errors import Forbidden, GatewayError, ModelFailed, NotFound, NotReady, Overloaded, Unauthenticated
from gateway.core.repository import Repository
from gateway.core.request import Answer, Deployment, Received
from gateway.core.rows import Rows
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME
from gateway.features.assemble import Assembler

__all__ = ["ECHO", "KEY", "MATRIX", "OipStack", "column"]

KEY = "Bearer lg_test"


def column(name: str, datatype: str, *shape: int, levels: tuple[str, ...] = (), nullable: bool = False) -> Column:
    """A column whose kind follows from its datatype; levels make it categorical."""
    kind = {"BOOL": Kind.BOOLEAN, "BYTES": Kind.STRING}.get(datatype)
    if kind is None:
        kind = Kind.FLOAT if datatype.startswith("FP") else Kind.INTEGER
    if levels:
        kind = Kind.CATEGORICAL
    return Column(name=name, kind=kind, datatype=BY_NAME[datatype], shape=shape, levels=levels, nullable=nullable)


ECHO = (
    column("carat", "FP64", nullable=True),
    column("table", "FP32"),
    column("count", "INT64"),
    column("sold", "BOOL"),
    column("cut", "BYTES", levels=("Fair", "Good", "Ideal")),
    column("note", "BYTES"),
    column("size", "FP32", 3),
)
MATRIX = (column("x", "FP32", 4),)

_STATS = Stats(
    success_count=3,
    success_ns=300,
    fail_count=1,
    fail_ns=7,
    queue_ns=30,
    compute_ns=60,
    inference_count=5,
    execution_count=2,
    last_inference_ms=1_700_000_000_000,
    batches={4: (1, 40), 1: (1, 20)},
)

Behaviour = Callable[[Received, Deployment, Rows], Awaitable[Rows]]


async def echo(received: Received, deployment: Deployment, rows: Rows) -> Rows:
    """Every row back as it came."""
    return rows


def _endpoint(
    name: str, columns: tuple[Column, ...], *, is_open: bool = False, is_ready: bool = True, is_loaded: bool = True
) -> EndpointState:
    signature = Signature(inputs=columns, outputs=columns)
    states = {}
    for deployment, weight in (("blue", 90), ("green", 10)):
        loaded = Deployment(
            endpoint=name, name=deployment, signature=signature, platform="onnx_onnxruntime", max_rows=32
        )
        states[deployment] = DeploymentState(
            name=deployment,
            deployment=loaded if is_ready else None,
            is_ready=is_ready,
            reason="" if is_ready else "still loading" if is_loaded else "unloaded",
            weight=weight,
        )
    return EndpointState(name=name, deployments=states, is_open=is_open, is_loaded=is_loaded)


@dataclass
class OipStack:
    """Everything that the edge is given. ``seen`` and ``done`` record what passed; events say that something did."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    seen: list[Received] = field(default_factory=list)
    done: list[tuple[Received | None, int, GatewayError | None]] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """A request waits in ``slow``."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets ``slow`` answer."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """A request that waited in ``slow`` was cancelled."""
    is_ready: bool = True
    repository: Repository | None = None
    counters: Stats = field(default_factory=lambda: _STATS)

    def __post_init__(self) -> None:
        self._endpoints = {
            state.name: state
            for state in (
                _endpoint("echo", ECHO),
                _endpoint("matrix", MATRIX),
                _endpoint("half", (column("h", "FP16"),)),
                _endpoint("words", (column("text", "BYTES"),)),
                _endpoint("open", MATRIX, is_open=True),
                _endpoint("slow", MATRIX),
                _endpoint("failing", MATRIX),
                _endpoint("crashing", MATRIX),
                _endpoint("busy", MATRIX),
                _endpoint("secret", MATRIX),
                _endpoint("loading", MATRIX, is_ready=False),
                _endpoint("unloaded", MATRIX, is_ready=False, is_loaded=False),
            )
        }
        self.behaviours.update(
            {"slow": self._slow, "failing": self._failing, "crashing": self._crashing, "busy": self._busy}
        )
        self._assemblers: dict[str, Assembler] = {}

    def endpoints(self) -> Sequence[EndpointState]:
        return list(self._endpoints.values())

    def endpoint(self, name: str | None) -> EndpointState:
        if name not in self._endpoints:
            raise NotFound(f'no endpoint "{name}"')
        return self._endpoints[name]

    def stats(self, endpoint: str, deployment: str) -> Stats:
        return self.counters

    async def access(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        if caller.credential != KEY:
            raise Unauthenticated("expected a key")
        if endpoint == "secret":
            raise Forbidden("not yours")
        return Principal("test", (Grant(frozenset({Role.SCORE}), frozenset(self._endpoints) - {"secret"}),))

    async def service(self, received: Received) -> Answer:
        """The stages between the edge and a model, in their order."""
        self.seen.append(received)
        await self.access(received, received.endpoint, Role.SCORE)
        state = self.endpoint(received.endpoint)
        name = received.deployment or state.default.name
        if name not in state.deployments:
            raise NotFound(f'no deployment "{name}" of endpoint "{state.name}"')
        deployment = state.deployments[name].deployment
        if deployment is None:
            raise NotReady("no worker")
        assembler = self._assemblers.setdefault(state.name, Assembler(deployment.signature, 1000))
        rows = assembler(received.read())
        answered = await self.behaviours.get(state.name, echo)(received, deployment, rows)
        received.timeline.worker = perf_counter_ns()
        return Answer(deployment, answered)

    def on_done(self, received: Received | None, status: int, error: GatewayError | None) -> None:
        self.done.append((received, status, error))

    async def _slow(self, received: Received, deployment: Deployment, rows: Rows) -> Rows:
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return rows

    async def _failing(self, received: Received, deployment: Deployment, rows: Rows) -> Rows:
        raise ModelFailed("singular matrix", kind="simpleError")

    async def _crashing(self, received: Received, deployment: Deployment, rows: Rows) -> Rows:
        raise ZeroDivisionError("a secret of ours")

    async def _busy(self, received: Received, deployment: Deployment, rows: Rows) -> Rows:
        raise Overloaded("full", retry_after=1.5)
