"""Loading and unloading over gRPC: one message that both Triton's clients and KServe's understand."""

from __future__ import annotations

from gateway.core.errors import InvalidInput
from gateway.edge.grpc_records import record
from gateway.wire.v1 import grpc_service_pb2 as pb

__all__ = ["kserve_done", "model_of"]


def model_of(request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest) -> str:
    """
    KServe's own definition of the request has the model's name where Triton's has the repository's.

    Raises ``InvalidInput``.
    """
    name: str = request.model_name or request.repository_name
    if not name:
        raise InvalidInput("expected the name of a model")
    return name


def kserve_done(model: str) -> bytes:
    """What KServe's definition of both responses has as its fields 1 and 2, which Triton's has not: name, and done."""
    return record(1, model.encode()) + b"\x10\x01"
