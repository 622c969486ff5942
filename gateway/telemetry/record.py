"""
One failed request as it may be written down: everything that helps to find the cause, nothing that is the caller's.

Credentials never come near it. The text of an error goes in only when it cannot quote the request: what was wrong with
somebody's values is told to the caller, whose values they are, and not to the log. Names from the wire are left out
too, unless they are known to exist: people paste keys into the strangest places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.core.errors import (
    Forbidden,
    GatewayError,
    InvalidInput,
    MethodNotAllowed,
    ModelFailed,
    NotFound,
    OutOfService,
    UnsupportedMedia,
)
from gateway.core.request import Received

__all__ = ["FailedRequest"]

_MAY_QUOTE = (Forbidden, InvalidInput, MethodNotAllowed, ModelFailed, NotFound, UnsupportedMedia)
_ID_LENGTH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRequest:
    """The facts of one ``request.failed`` event."""

    endpoint: str
    deployment: str
    protocol: str
    status: str
    error: str
    """Class of the error."""
    message: str
    """Empty where the text might quote the request."""
    kind: str
    """The model's own class of error, if it was the model."""
    request_id: str
    """Ours, which the caller was told."""
    client_request_id: str
    size: int
    seconds: float
    stages: dict[str, float]
    """Milliseconds."""

    @classmethod
    def of(
        cls, received: Received | None, status: str, error: GatewayError | None, endpoint: str, deployment: str
    ) -> FailedRequest:
        """``endpoint`` and ``deployment`` as far as they are known to exist."""
        return cls(
            endpoint=endpoint,
            deployment=deployment,
            protocol=received.protocol if received else "",
            status=status,
            error=type(error).__name__ if error else "",
            message="" if error is None or _may_quote(error) else str(error),
            kind=error.kind if isinstance(error, ModelFailed) else "",
            request_id=received.id if received else "",
            client_request_id=received.request_id[:_ID_LENGTH] if received else "",
            size=received.size if received else 0,
            seconds=received.timeline.total() if received else 0.0,
            stages={stage: round(s * 1000, 3) for stage, s in received.timeline.stages} if received else {},
        )

    def fields(self) -> dict[str, Any]:
        """Of the log event; what is empty is left out."""
        facts = {
            "endpoint": self.endpoint,
            "deployment": self.deployment,
            "protocol": self.protocol,
            "status": self.status,
            "error": self.error,
            "message": self.message,
            "kind": self.kind,
            "request_id": self.request_id,
            "client_request_id": self.client_request_id,
            "size": self.size,
            "ms": round(self.seconds * 1000, 3),
            "stages": self.stages,
        }
        return {name: value for name, value in facts.items() if value}


def _may_quote(error: GatewayError) -> bool:
    return isinstance(error, _MAY_QUOTE) and not isinstance(error, OutOfService)
