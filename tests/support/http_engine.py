"""Which HTTP engine the edges of a test run on; the fixture ``http_engine`` of tests/contract goes through all."""

from __future__ import annotations

import msgspec

from gateway.edge.config import EdgeConfig, HttpEngineName

__all__ = ["ENGINES", "on_engine"]

ENGINES: tuple[HttpEngineName, ...] = ("aiohttp", "httptools")

chosen: HttpEngineName | None = None
"""Set by the fixture; None leaves it to the configuration."""


def on_engine(config: EdgeConfig) -> EdgeConfig:
    """``config`` with the engine that the test has chosen."""
    return config if chosen is None else msgspec.structs.replace(config, http_engine=chosen)
