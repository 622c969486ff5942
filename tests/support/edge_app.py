"""The edge's HTTP half put together around a fake core, over a real socket."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.core.catalog import EndpointState
from gateway.core.errors import GatewayError
from gateway.core.request import Received
from gateway.edge.config import EdgeConfig
from gateway.edge.cors import Cors
from gateway.edge.http_engine import HttpEngine, http_server
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_intake import Intake
from gateway.edge.http_mlflow import mlflow_routes
from gateway.edge.http_route import Route
from gateway.edge.http_router import HttpRouter
from gateway.edge.http_score import score_routes
from gateway.edge.http_vetiver import vetiver_routes
from gateway.edge.request_id import new_ids
from tests.support.edge_service import FakeAccess, FakeCatalog, FakeCore, endpoint
from tests.support.http_engine import on_engine

__all__ = ["Edge", "exchange_of", "serving"]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Edge:
    """A running server and what it was given."""

    server: HttpEngine
    core: FakeCore
    done: list[tuple[Received | None, int, GatewayError | None]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.port


def exchange_of(
    core: FakeCore,
    config: EdgeConfig,
    states: Sequence[EndpointState] = (),
    done: list[tuple[Received | None, int, GatewayError | None]] | None = None,
    extra: Sequence[Route] = (),
) -> HttpExchange:
    """All routes of the three families around ``core``, and ``extra`` ones."""
    catalog = FakeCatalog(*(states or [endpoint(core.served_by)]))
    intake = Intake(core, catalog, personality=config.personality, clock=time.monotonic)
    router = HttpRouter(
        [
            *score_routes(intake, catalog, FakeAccess(), config),
            *mlflow_routes(intake, config, "0.1.0"),
            *vetiver_routes(intake, config, lambda: NOW),
            *extra,
        ]
    )
    sink = [] if done is None else done
    return HttpExchange(
        router,
        new_id=new_ids(),
        on_done=lambda call, status, error: sink.append((call, status, error)),
        server_timing=config.server_timing,
        cors=Cors(config.cors_origins) if config.cors_origins else None,
    )


@asynccontextmanager
async def serving(
    core: FakeCore,
    *,
    config: EdgeConfig | None = None,
    states: Sequence[EndpointState] = (),
    ssl_context: ssl.SSLContext | None = None,
    extra: Sequence[Route] = (),
) -> AsyncIterator[Edge]:
    """Serves on a free port of the loopback until the block ends."""
    config = on_engine(config or EdgeConfig(host="127.0.0.1", http_port=0))
    done: list[tuple[Received | None, int, GatewayError | None]] = []
    server = http_server(config, exchange_of(core, config, states, done, extra), ssl_context)
    await server.start()
    try:
        yield Edge(server, core, done)
    finally:
        await server.drain(2)
