"""
The public gRPC services on grpc.aio.

Draining goes in the order that loses nobody: health turns NOT_SERVING, so that balancers look elsewhere; the listener
closes; what was accepted is answered within the grace; what is left is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from gateway.edge.config import EdgeConfig
from gateway.edge.grpc_oip import OipServicer
from gateway.edge.grpc_services import SERVICE, GrpcServices, server_options

__all__ = ["SERVICE", "GrpcServer"]


class GrpcServer:
    """
    One listener of one process; several processes may share the port.

    Without ``credentials`` the listener is plain, for tests and benchmarks only.
    """

    def __init__(
        self,
        config: EdgeConfig,
        servicer: OipServicer,
        *,
        credentials: grpc.ServerCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._server = grpc.aio.server(options=[*server_options(config), *options])
        self._services = GrpcServices(servicer, self._server)
        address = f"{config.host}:{config.grpc_port}"
        if credentials is None:
            self.port: int = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        """The port in use, which differs from the configured one when that is 0."""
        self.http2 = None
        """grpc.aio owns its sockets: it can take no connection from another listener."""

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
