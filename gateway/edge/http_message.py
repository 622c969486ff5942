"""
An HTTP request and its answer as plain values, so that the handlers know no HTTP framework.

Three fill them: ``http1`` (llhttp), ``http_server`` (aiohttp) and ``http2_rest``. Any engine that can runs the same
handlers unchanged. They are ``Struct`` because those are made without a line of Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns

from msgspec import Struct, field

from gateway.core.access import ClientCertificate
from gateway.core.request import Received

__all__ = ["HttpRequest", "HttpResponse"]


class HttpRequest(Struct):
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
    certificate: ClientCertificate | None = None
    """Of the connection's peer, verified; None where it showed none."""
    received: int = field(default_factory=perf_counter_ns)
    """When, as a ``Timeline`` counts."""
    id: str = ""
    """Ours, never the caller's: goes out as ``x-request-id``."""
    call: Received | None = None
    """What this became for the core, set when a handler has asked it to score; taken when the answer goes out."""

    @property
    def credential(self) -> str | None:
        """The value of the ``Authorization`` header; with it a request is a ``Caller``."""
        return self.headers.get("authorization")


class HttpResponse(Struct):
    """One answer with its whole body."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    """What other answers have too, as those of one deployment."""
    id: str = ""
    """The request's, as ``x-request-id``. This and what follows is new in each answer, and never breaks a line."""
    caller_id: str = ""
    """The caller's own, as ``x-ms-client-request-id``; empty where there is none to tell, as is the next."""
    timing: str = ""
    """As ``Server-Timing``."""

    def all_headers(self) -> list[tuple[str, str]]:
        """With those that have a field of their own, without those about the body."""
        own = ("x-request-id", self.id), ("x-ms-client-request-id", self.caller_id), ("Server-Timing", self.timing)
        return [*self.headers, *[(name, value) for name, value in own if value]]
