"""
The public gRPC services on h2grpc: what ``grpc_server`` is on grpc.aio, at a fraction of the cost.

It listens on a port of its own for those who want gRPC alone, and takes HTTP/2 connections from the port that it shares
with HTTP/1.1. On either it answers REST over HTTP/2 as well: the content type tells.
"""

from __future__ import annotations

import ssl

import h2grpc
from gateway.edge.config import EdgeConfig
from gateway.edge.connection_limit import PerAddress
from gateway.edge.grpc_oip import OipServicer
from gateway.edge.grpc_services import GrpcServices, server_options
from gateway.edge.heap_trim import HeapTrim, malloc_trim
from gateway.edge.http2_rest import RestOverHttp2
from gateway.edge.http_exchange import HttpExchange

__all__ = ["H2GrpcServer"]


class H2GrpcServer:
    """Several processes may share the port. ``context`` None serves plain HTTP/2, for tests and for meshes."""

    def __init__(
        self, config: EdgeConfig, servicer: OipServicer, exchange: HttpExchange, context: ssl.SSLContext | None
    ) -> None:
        places = PerAddress(config.max_connections_per_address)
        rest = RestOverHttp2(
            exchange,
            max_body_bytes=config.max_body_bytes,
            max_header_bytes=config.max_header_bytes,
            body_timeout_ms=config.body_timeout_ms,
        )
        body_s = config.body_timeout_ms / 1000
        self._server = h2grpc.server(
            admits=places.enters,
            on_left=places.left,
            on_secured=HeapTrim(malloc_trim()),
            limits=h2grpc.Limits(request_timeout=body_s, answer_timeout=body_s, max_idle=config.idle_timeout_ms / 1000),
            options=server_options(config),
            other_requests=rest,
            refuse_other=rest.refuse,
            reuse_port=True,
        )
        self._services = GrpcServices(servicer, self._server)
        address = f"{config.host}:{config.grpc_port}"
        if context is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, context)
        """The port in use, which differs from the configured one when that is 0."""
        self.http2 = self._server.protocol_factory

    async def start(self, *, is_ready: bool = True) -> None:
        """Listen; ``is_ready`` is what health says until ``set_ready`` says otherwise."""
        await self.set_ready(is_ready=is_ready)
        await self._server.start()

    async def set_ready(self, *, is_ready: bool) -> None:
        """What the health service says from now on; nothing changes it after ``drain``."""
        await self._services.set_ready(is_ready=is_ready)

    async def drain(self, grace: float) -> None:
        """Take no more, answer what was accepted, and close; cancels what is not done after ``grace`` seconds."""
        await self._services.leave()
        await self._server.stop(grace)
