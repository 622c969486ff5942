"""One unary inference call with a real gRPC client: proves that a server answers, and shows how long its answer is."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from gateway.wire.v1 import grpc_service_pb2 as wire
from loadtests.bench.requests import mlp_protobuf

__all__ = ["INFER", "call_once", "infer_once"]

INFER = "/inference.GRPCInferenceService/ModelInfer"


def infer_once(channel: grpc.Channel, *, timeout: float, metadata: Mapping[str, str] | None = None) -> bytes:
    """The answer to the bench's row as bytes. Raises ``grpc.RpcError``."""
    return call_once(channel, mlp_protobuf(), timeout=timeout, metadata=metadata)


def call_once(
    channel: grpc.Channel, message: bytes, *, timeout: float, metadata: Mapping[str, str] | None = None
) -> bytes:
    """The answer to any ``ModelInferRequest``. Raises ``grpc.RpcError``."""
    infer: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        INFER, request_serializer=lambda message: message, response_deserializer=lambda message: message
    )
    given = tuple((metadata or {}).items())
    answer: bytes = infer(message, timeout=timeout, wait_for_ready=True, metadata=given)
    wire.ModelInferResponse.FromString(answer)
    return answer
