"""
One request on its way: each stage adds one fact, and the type says which are known.

``Received → Authenticated → Routed → Enriched → Answer``. A request without a principal cannot be routed, and one
without its rows cannot be dispatched. Those of which one is made per request are ``Struct``s rather than frozen
dataclasses: they are built without a line of Python, the largest in a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from gateway.core.access import ClientCertificate, Principal
from gateway.core.deadline import Deadline
from gateway.core.payload import Payload
from gateway.core.rows import Rows
from gateway.core.signature import Signature
from gateway.core.timeline import Timeline

__all__ = ["Answer", "Authenticated", "Deployment", "Enriched", "Received", "Routed"]

_UNTOLD = ("credential", "read", "timeline", "headers")
"""Fields of ``Received`` that are the caller's own affair, or too long."""


class Received(Struct):
    """A request as the edge decoded it: nothing in it has been believed yet."""

    endpoint: str | None
    """Name of the endpoint; None where the wire does not say, which is fine while there is only one."""
    deployment: str | None
    """Name of the deployment that the caller insists on (``azureml-model-deployment``, an OIP model version)."""
    credential: str | None
    """The value of the ``Authorization`` header; never logged."""
    deadline: Deadline | None
    """When the caller stops waiting; None leaves it to the endpoint's ``request_timeout_ms``."""
    read: Callable[[], Payload]
    """Decodes the body: called only after the caller is known. Raises ``InvalidInput``."""
    protocol: str
    """``rest`` or ``grpc``, for logs and metrics."""
    peer: str
    """Address of the caller."""
    request_id: str = ""
    """The caller's own id, already cut to what may be echoed."""
    traceparent: str = ""
    """W3C trace context as received, or empty."""
    size: int = 0
    """Bytes of the body."""
    certificate: ClientCertificate | None = None
    """What the connection was made with, if the caller showed one."""
    timeline: Timeline = field(default_factory=Timeline)
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Of the HTTP request, or the metadata of the gRPC call; names in lower case. Never logged."""
    id: str = ""
    """Ours: what the caller is told as ``x-request-id`` and the log says."""
    routed: Deployment | None = None
    """Noted by the routing stage for whoever keeps the record of requests; no stage decides by it."""

    def __repr__(self) -> str:
        """Without what may be secret: this may end in a log."""
        return f"Received({', '.join([f'{name}={value!r}' for name, value in self.__rich_repr__()])})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What tracebacks print that show the values of variables."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in _UNTOLD]


class Authenticated(Struct):
    """A request whose caller is known and may use the endpoint."""

    received: Received
    principal: Principal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deployment:
    """One version of an endpoint that can serve now; compared by identity, replaced when anything of it changes."""

    endpoint: str
    name: str
    signature: Signature
    """What clients send and get."""
    model_signature: Signature | None = None
    """What the model takes, where that is more than clients send; None: the same."""
    platform: str = ""
    """What runs it, in OIP's words: ``onnx_onnxruntime`` or ``r``."""
    model: str = ""
    """Digest of the model's files: two deployments of one name with different ones are different models."""
    max_rows: int = 32
    """Rows in one batch."""
    max_queue_rows: int = 4096
    """Rows that may wait; also the most that one request may carry."""
    request_timeout_ms: int = 5000
    is_idempotent: bool = True
    """Whether rows may be scored again after a worker died with them."""

    @property
    def takes_text(self) -> bool:
        """Whether a request is a text that only the model's own script understands: R, one string called ``data``."""
        inputs = self.signature.inputs
        return self.platform == "r" and len(inputs) == 1 and inputs[0].name == "data" and inputs[0].is_text


class Routed(Struct):
    """A request that belongs to one deployment. ``received.deadline`` is set from here on."""

    received: Received
    principal: Principal
    deployment: Deployment
    deadline: Deadline


class Enriched(Struct):
    """A request whose rows are complete and typed as the model wants them."""

    received: Received
    principal: Principal
    deployment: Deployment
    deadline: Deadline
    rows: Rows


class Answer(Struct, gc=False):
    """What the model said about each row, in the order of the request. ``gc=False`` as ``Rows`` are."""

    deployment: Deployment
    rows: Rows
    """Its layout is that of ``deployment.signature.outputs``."""
