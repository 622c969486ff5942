"""
An HTTP request and its answer as plain values, so that the handlers know no HTTP framework.

Three fill them: ``http1`` (llhttp), ``http_server`` (aiohttp) and ``http2_rest``. Any engine that can runs the same
handlers unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from gateway.core.access import ClientCertificate
from gateway.core.request import Received

__all__ = ["HttpRequest", "HttpResponse"]


@dataclass(slots=True)
class HttpRequest:
    """One request with its whole body; content encodings are still on."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: str
    """As received, still encoded, without the question mark."""
    headers: Mapping[str, str]
    """Looked up by lower-case name."""
    body: bytes
    peer: str = ""
    received: float = field(default_factory=perf_counter)
    id: str = ""
    """Ours, never the caller's: goes out as ``x-request-id``."""
    call: Received | None = None
    """What this became for the core, set when a handler has asked it to score; read when the answer goes out."""
    certificate: ClientCertificate | None = None
    """Of the connection's peer, verified; None where it showed none."""

    @property
    def credential(self) -> str | None:
        """The value of the ``Authorization`` header; with it a request is a ``Caller``."""
        return self.headers.get("authorization")


@dataclass(slots=True)
class HttpResponse:
    """One answer with its whole body."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
