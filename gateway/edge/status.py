"""
THE table: which status an error becomes, on every wire.

One row per error class, all wires side by side, so that a change to one is seen next to the others. Nothing is
derived from anything else: a gRPC code never follows from an HTTP code (that is how "not ready" becomes
INVALID_ARGUMENT elsewhere). A class without a row takes the row of its nearest base; what is no ``GatewayError`` is a
defect of ours and becomes 500 / INTERNAL.

Azure ML's three servers disagree about ``/score``; a *personality* picks whose codes are spoken there. Sources:
Azure's "Troubleshoot online endpoints" (managed, Kubernetes) and azureml-inference-server-http 1.5 (azmlinfsrv).
Where a server's documents have no code for what happened, the plain one is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from grpc import StatusCode as Rpc

from gateway.control.change_errors import ChangeRefused, VersionRequired
from gateway.control.source import Conflict, ReadOnly, SourceUnavailable
from gateway.core.errors import (
    BadFeatures,
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    FeaturesUnavailable,
    Forbidden,
    GatewayError,
    InvalidInput,
    MethodNotAllowed,
    ModelFailed,
    NotFound,
    NotReady,
    NotSupported,
    OutOfService,
    Overloaded,
    TooLarge,
    Unauthenticated,
    UnsupportedMedia,
    WorkerFailed,
)
from gateway.edge.errors import HeaderTooLarge, SlowRequest

__all__ = ["STATUS", "Personality", "Status", "status_of"]

Personality: TypeAlias = Literal["managed", "kubernetes", "azmlinfsrv"]
"""Whose status codes ``/score`` speaks."""


@dataclass(frozen=True, slots=True)
class Status:
    """What clients of each wire see."""

    word: str
    """The ``code`` in an error body of the ``/score`` family."""
    http: int
    """On every HTTP route but ``/score``."""
    grpc: Rpc
    managed: int
    kubernetes: int
    azmlinfsrv: int
    mlflow: str
    """The ``error_code`` in an error body of ``/invocations``."""

    def score(self, personality: Personality) -> int:
        """The HTTP code on ``/score``."""
        match personality:
            case "managed":
                return self.managed
            case "kubernetes":
                return self.kubernetes
            case "azmlinfsrv":
                return self.azmlinfsrv


# fmt: off
STATUS: dict[type[BaseException], Status] = {
    # error            word                     http gRPC                   managed kubernetes azmlinfsrv MLflow
    InvalidInput:     Status("BadRequest",       400, Rpc.INVALID_ARGUMENT,   400, 400, 400, "BAD_REQUEST"),
    HeaderTooLarge:   Status("HeaderTooLarge",   431, Rpc.INVALID_ARGUMENT,   431, 431, 431, "BAD_REQUEST"),
    SlowRequest:      Status("RequestTimeout",   408, Rpc.DEADLINE_EXCEEDED,  408, 408, 408, "BAD_REQUEST"),
    # Managed endpoints fold "forbidden" into 401.
    Unauthenticated:  Status("Unauthorized",     401, Rpc.UNAUTHENTICATED,    401, 401, 401, "UNAUTHENTICATED"),
    Forbidden:        Status("Forbidden",        403, Rpc.PERMISSION_DENIED,  401, 403, 403, "PERMISSION_DENIED"),
    NotFound:         Status("NotFound",         404, Rpc.NOT_FOUND,          404, 404, 404, "NOT_FOUND"),
    OutOfService:     Status("OutOfService",     404, Rpc.NOT_FOUND,          404, 404, 404, "NOT_FOUND"),
    MethodNotAllowed: Status("MethodNotAllowed", 405, Rpc.UNIMPLEMENTED,      405, 405, 405, "BAD_REQUEST"),
    UnsupportedMedia: Status("UnsupportedMedia", 415, Rpc.INVALID_ARGUMENT,   415, 415, 415, "BAD_REQUEST"),
    # Not RESOURCE_EXHAUSTED: that says "later", and this never gets smaller.
    TooLarge:         Status("PayloadTooLarge",  413, Rpc.INVALID_ARGUMENT,   413, 413, 413, "BAD_REQUEST"),
    NotSupported:     Status("NotSupported",     501, Rpc.UNIMPLEMENTED,      501, 501, 501, "NOT_IMPLEMENTED"),
    NotReady:         Status("NotReady",         503, Rpc.UNAVAILABLE,        503, 503, 503, "TEMPORARILY_UNAVAILABLE"),
    Overloaded:       Status("TooManyRequests",  429, Rpc.RESOURCE_EXHAUSTED, 429, 503, 429, "RESOURCE_EXHAUSTED"),
    DeadlineExceeded: Status("Timeout",          504, Rpc.DEADLINE_EXCEEDED,  408, 504, 500, "DEADLINE_EXCEEDED"),
    # Nobody reads this one; 499 is what the log and the metrics show.
    Cancelled:        Status("ClientClosed",     499, Rpc.CANCELLED,          499, 499, 499, "CANCELLED"),
    ModelFailed:      Status("ModelError",       500, Rpc.INTERNAL,           424, 502, 500, "INTERNAL_ERROR"),
    WorkerFailed:     Status("WorkerFailed",     503, Rpc.UNAVAILABLE,        503, 502, 500, "TEMPORARILY_UNAVAILABLE"),
    FeaturesUnavailable:
                      Status("NoFeatures",       503, Rpc.UNAVAILABLE,        503, 503, 500, "TEMPORARILY_UNAVAILABLE"),
    BadFeatures:      Status("FeatureError",     500, Rpc.INTERNAL,           424, 502, 500, "INTERNAL_ERROR"),
    # Changes of what is served: on the admin API, and where the repository of OIP is asked to load a model.
    Conflict:         Status("Conflict",         412, Rpc.FAILED_PRECONDITION,
                                                                          412, 412, 412, "INVALID_STATE"),
    VersionRequired:  Status("VersionRequired",  428, Rpc.FAILED_PRECONDITION,
                                                                          428, 428, 428, "INVALID_STATE"),
    # Not 403: no credential helps. Not 501: the route is there for reading.
    ReadOnly:         Status("ReadOnly",         405, Rpc.UNIMPLEMENTED,      405, 405, 405, "INVALID_STATE"),
    ChangeRefused:    Status("ChangeRefused",    422, Rpc.FAILED_PRECONDITION,
                                                                          422, 422, 422, "INVALID_STATE"),
    SourceUnavailable:
                      Status("SourceUnavailable",
                                                 503, Rpc.UNAVAILABLE,        503, 503, 503, "TEMPORARILY_UNAVAILABLE"),
    ConfigError:      Status("InternalError",    500, Rpc.INTERNAL,           500, 500, 500, "INTERNAL_ERROR"),
    GatewayError:     Status("InternalError",    500, Rpc.INTERNAL,           500, 500, 500, "INTERNAL_ERROR"),
    BaseException:    Status("InternalError",    500, Rpc.INTERNAL,           500, 500, 500, "INTERNAL_ERROR"),
}
# fmt: on


def status_of(error: BaseException) -> Status:
    """The row of the error's class, or of its nearest base that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
