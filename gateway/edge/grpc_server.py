"""
The public gRPC listener on grpc.aio: the inference service, standard health, and reflection.

Draining goes in the order that loses nobody: health turns NOT_SERVING, so that balancers look elsewhere; the listener
closes; what was accepted is answered within the grace; what is left is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1._async import HealthServicer  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from gateway.edge.config import EdgeConfig
from gateway.edge.grpc_oip import OipServicer
from gateway.wire.v1 import grpc_service_pb2
from gateway.wire.v1.grpc_service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

__all__ = ["SERVICE", "GrpcServer"]

SERVICE: str = grpc_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

_MESSAGE_OVERHEAD = 64 * 1024
"""What a message may have beside its tensors: names, shapes and parameters."""


class GrpcServer:
    """
    One listener of one process; several processes may share the port.

    ``certificate`` and ``key`` are PEM; without them the listener is plain, for tests and benchmarks only.
    """

    def __init__(
        self,
        config: EdgeConfig,
        servicer: OipServicer,
        *,
        certificate: bytes | None = None,
        key: bytes | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._health = HealthServicer()
        self._server = grpc.aio.server(options=[*_options(config), *options])
        add_GRPCInferenceServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, _REFLECTION)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(ReflectionServicer(names), self._server)
        address = f"{config.host}:{config.grpc_port}"
        if certificate is None or key is None:
            self.port: int = self._server.add_insecure_port(address)
        else:
            credentials = grpc.ssl_server_credentials([(key, certificate)])
            self.port = self._server.add_secure_port(address, credentials)
        """The port in use, which differs from the configured one when that is 0."""

    async def start(self, *, is_ready: bool = True) -> None:
        """Listen; ``is_ready`` is what health says until ``set_ready`` says otherwise."""
        await self.set_ready(is_ready=is_ready)
        await self._server.start()

    async def set_ready(self, *, is_ready: bool) -> None:
        """What the health service says from now on; nothing changes it after ``drain``."""
        state = health_pb2.HealthCheckResponse
        for name in ("", SERVICE):
            await self._health.set(name, state.SERVING if is_ready else state.NOT_SERVING)

    async def drain(self, grace: float) -> None:
        """Take no more, answer what was accepted, and close; cancels what is not done after ``grace`` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)


_REFLECTION: str = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name


def _options(config: EdgeConfig) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", config.max_body_bytes + _MESSAGE_OVERHEAD),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", config.max_header_bytes),
        # A caller that vanished without a word is noticed within two minutes.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # tritonclient and KServe's client may ping as often as this; more often is abuse.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
