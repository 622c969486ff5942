"""Which gRPC engine serves: the one place that knows both, and whether ngh2 can be had."""

from __future__ import annotations

from typing import Protocol

import structlog

from gateway.edge.config import EdgeConfig
from gateway.edge.grpc_oip import OipServicer
from gateway.edge.grpc_server import GrpcServer
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.listener import ProtocolFactory
from gateway.edge.tls_grpcio import server_credentials
from gateway.edge.tls_reload import Certificates

__all__ = ["GrpcEngine", "grpc_server"]

log = structlog.get_logger()


class GrpcEngine(Protocol):
    """What both engines are to the rest of the gateway."""

    @property
    def port(self) -> int: ...

    @property
    def http2(self) -> ProtocolFactory | None:
        """Takes HTTP/2 connections that another listener has accepted; None if the engine cannot."""
        ...

    async def start(self, *, is_ready: bool = True) -> None: ...

    async def set_ready(self, *, is_ready: bool) -> None: ...

    async def drain(self, grace: float) -> None: ...


def grpc_server(
    config: EdgeConfig, servicer: OipServicer, exchange: HttpExchange, certificates: Certificates
) -> GrpcEngine:
    """
    The engine that ``config.grpc_engine`` names, or grpcio where that cannot be imported; not started.

    Raises ``ConfigError`` when it cannot ask for certificates as it is told.
    """
    if config.grpc_engine == "h2grpc":
        try:
            from gateway.edge.grpc_h2 import H2GrpcServer
        except ImportError as error:  # ngh2 has wheels for Linux and macOS only
            log.warning("edge.grpcio_instead_of_h2grpc", reason=str(error))
        else:
            return H2GrpcServer(config, servicer, exchange, certificates.context(http2=True))
    return GrpcServer(config, servicer, credentials=server_credentials(certificates))
