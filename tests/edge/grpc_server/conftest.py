"""Both gRPC engines are held to the same."""

from __future__ import annotations

from typing import cast

import pytest

from gateway.edge.config import GrpcEngineName
from tests.support.http_engine import GRPC_ENGINES


@pytest.fixture(params=GRPC_ENGINES, autouse=True)
def grpc_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GrpcEngineName:
    monkeypatch.setattr("tests.support.http_engine.chosen_grpc", request.param)
    return cast("GrpcEngineName", request.param)
