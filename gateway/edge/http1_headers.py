"""
The header lines of an HTTP/1.1 request as headers by name. Pure.

Of a name that comes twice the first value counts, as ``get`` of any multidict has it; where two readers of the request
would then disagree about who asks, or where its body ends, it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.core.errors import InvalidInput
from gateway.edge.errors import HeaderTooLarge

__all__ = ["MAX_HEADERS", "add_headers", "check_sizes"]

MAX_HEADERS = 128

_ONCE = frozenset({"host", "content-length", "transfer-encoding", "authorization"})
_NAMES: dict[bytes, str] = {
    form.encode(): name
    for name in (
        *("host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding", "expect"),
        *("accept", "accept-encoding", "authorization", "user-agent", "traceparent", "tracestate", "x-request-id"),
        *("azureml-model-deployment", "lockgate-endpoint", "x-request-timeout-ms", "x-ms-client-request-id"),
        *("inference-header-content-length",),
    )
    for form in (name, name.title())
}
"""The usual spellings of the usual names: a lookup instead of two new strings."""


def add_headers(headers: dict[str, str], lines: Iterable[tuple[bytes, bytes]]) -> None:
    """By lower-case name. Raises ``InvalidInput``; those before are then there, for whoever answers the refusal."""
    known = _NAMES
    for line, value in lines:
        name = known.get(line) or line.lower().decode("latin-1")
        if name not in headers:
            headers[name] = value.decode("utf-8", "surrogateescape")
        elif name in _ONCE:
            raise InvalidInput(f"expected one {name} header")


def check_sizes(target: bytes, lines: Sequence[tuple[bytes, bytes]], limit: int) -> None:
    """Raises ``HeaderTooLarge``; ``limit`` is of one header, and of the request line likewise."""
    if len(lines) > MAX_HEADERS:
        raise HeaderTooLarge(f"expected at most {MAX_HEADERS} headers")
    if len(target) > limit:
        raise HeaderTooLarge(f"expected a request line of at most {limit} bytes")
    if any(len(name) + len(value) > limit for name, value in lines):
        raise HeaderTooLarge(f"expected headers of at most {limit} bytes each")
