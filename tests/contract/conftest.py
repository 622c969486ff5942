"""Both HTTP engines are held to the same contracts."""

from __future__ import annotations

from typing import cast

import pytest

from gateway.edge.config import HttpEngineName
from tests.support.http_engine import ENGINES


@pytest.fixture(params=ENGINES)
def http_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> HttpEngineName:
    """The engine that ``serving`` uses in this test; a module asks for it with ``pytestmark``."""
    monkeypatch.setattr("tests.support.http_engine.chosen", request.param)
    return cast("HttpEngineName", request.param)
