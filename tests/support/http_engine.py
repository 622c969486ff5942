"""Which engines the edges of a test run on; the fixtures ``http_engine`` and ``grpc_engine`` go through all."""

from __future__ import annotations

import msgspec

from gateway.edge.config import EdgeConfig, GrpcEngineName, HttpEngineName

__all__ = ["ENGINES", "GRPC_ENGINES", "on_engine"]

ENGINES: tuple[HttpEngineName, ...] = ("aiohttp", "httptools")
GRPC_ENGINES: tuple[GrpcEngineName, ...] = ("grpcio", "h2grpc")

chosen: HttpEngineName | None = None
chosen_grpc: GrpcEngineName | None = None
"""Set by the fixtures; None leaves it to the configuration."""


def on_engine(config: EdgeConfig) -> EdgeConfig:
    """``config`` with the engines that the test has chosen."""
    return msgspec.structs.replace(
        config, http_engine=chosen or config.http_engine, grpc_engine=chosen_grpc or config.grpc_engine
    )
