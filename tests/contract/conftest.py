"""All engines are held to the same contracts, and the HTTP listeners on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import pytest
import uvloop

from gateway.edge.config import GrpcEngineName, HttpEngineName
from tests.support.http_engine import ENGINES, GRPC_ENGINES

ON_BOTH_LOOPS = (
    "test_http_server.py",
    "test_http_framing.py",
    "test_http_tls.py",
    "test_one_port.py",
    "test_certificate_swap.py",
)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in ON_BOTH_LOOPS:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture(params=ENGINES)
def http_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> HttpEngineName:
    """The engine that ``serving`` uses in this test; a module asks for it with ``pytestmark``."""
    monkeypatch.setattr("tests.support.http_engine.chosen", request.param)
    return cast("HttpEngineName", request.param)


@pytest.fixture(params=GRPC_ENGINES)
def grpc_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GrpcEngineName:
    """Likewise for gRPC."""
    monkeypatch.setattr("tests.support.http_engine.chosen_grpc", request.param)
    return cast("GrpcEngineName", request.param)
