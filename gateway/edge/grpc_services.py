"""Which services the public gRPC listener has, whatever engine runs it: inference, standard health, reflection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1._async import HealthServicer  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from gateway.core.bounds import INT32
from gateway.edge.config import EdgeConfig
from gateway.edge.grpc_oip import OipServicer
from gateway.wire.v1 import grpc_service_pb2
from gateway.wire.v1.grpc_service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

__all__ = ["SERVICE", "GrpcServices", "server_options"]

SERVICE: str = grpc_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

_HEALTH: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_REFLECTION: str = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name
_MESSAGE_OVERHEAD = 64 * 1024
"""What a message may have beside its tensors: names, shapes and parameters."""


class GrpcServices:
    """Registers itself with ``server``: a ``grpc.aio.Server``, or what has its methods."""

    def __init__(self, servicer: OipServicer, server: Any) -> None:
        self._health = HealthServicer()
        add_GRPCInferenceServiceServicer_to_server(servicer, _Replacing(server, servicer.handlers))  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, _HEALTH, _REFLECTION)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(ReflectionServicer(names), server)

    async def set_ready(self, *, is_ready: bool) -> None:
        """What the health service says from now on; nothing changes it after ``leave``."""
        state = health_pb2.HealthCheckResponse
        for name in ("", SERVICE):
            await self._health.set(name, state.SERVING if is_ready else state.NOT_SERVING)

    async def leave(self) -> None:
        """Health says NOT_SERVING for good, so that balancers look elsewhere."""
        await self._health.enter_graceful_shutdown()


class _Replacing:
    """Stands before ``server`` while generated code registers a service, and puts our handlers in the place of its."""

    def __init__(self, server: Any, ours: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._server, self._ours = server, ours

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same as the registered ones, which come later."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        replaced = {**handlers, **self._ours}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, replaced),))
        self._server.add_registered_method_handlers(service, replaced)


def server_options(config: EdgeConfig) -> list[tuple[str, Any]]:
    """The limits of the listener, in grpcio's words."""
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", min(config.max_body_bytes + _MESSAGE_OVERHEAD, INT32)),
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
