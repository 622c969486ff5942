"""
Cross-origin requests of browsers (the Fetch standard's CORS protocol): off, unless origins are named.

A page of another origin may call us only if we say so; saying nothing is the refusal, which the browser enforces.
Origins are compared letter by letter: no wildcards, no ``null``. Cookies play no part, so credentials are never allowed
beside the ``Authorization`` header that the page itself must hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.edge.http_message import HttpRequest, HttpResponse

__all__ = ["Cors", "is_origin"]

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")
_METHODS = "GET, HEAD, POST"
_REQUEST_HEADERS = ", ".join(
    (
        *("authorization", "content-type", "content-encoding", "inference-header-content-length", "traceparent"),
        *("tracestate", "azureml-model-deployment", "lockgate-endpoint", "x-request-timeout-ms"),
        "x-ms-client-request-id",
    )
)
_ANSWER_HEADERS = ", ".join(
    (
        *("azureml-model-deployment", "inference-header-content-length", "retry-after", "server-timing"),
        *("www-authenticate", "x-ms-client-request-id", "x-request-id"),
    )
)
_MAX_AGE_S = "600"


def is_origin(text: str) -> bool:
    """Whether browsers send it like this: scheme and host in lower case, the port if it is not the scheme's own."""
    return _ORIGIN.fullmatch(text) is not None


class Cors:
    """Says yes to the named origins, and nothing to others."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def preflight(self, request: HttpRequest) -> HttpResponse | None:
        """The answer to a browser that asks before it asks; None if this is no such question, or not from there."""
        headers = request.headers
        if request.method != "OPTIONS" or "access-control-request-method" not in headers:
            return None
        if headers.get("origin") not in self._origins:
            return None
        answer = [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
            ("Access-Control-Max-Age", _MAX_AGE_S),
        ]
        return HttpResponse(204, content_type="", headers=answer)

    def mark(self, request: HttpRequest, response: HttpResponse) -> None:
        """Let the page read this answer, be it a refusal."""
        # A cache must not hand an answer for one origin to another, nor one for none.
        response.headers.append(("Vary", "Origin"))
        origin = request.headers.get("origin")
        if origin is not None and origin in self._origins:
            response.headers.append(("Access-Control-Allow-Origin", origin))
            response.headers.append(("Access-Control-Expose-Headers", _ANSWER_HEADERS))
