"""
An HTTP/1.1 answer as bytes, and the request target as a path: what both HTTP engines must do in the same way. Pure.

An answer always has a Content-Length (but a 204, which has no body) and is one block, so that it leaves in one write.
What its head has in common with others is put together once, and the rest behind it.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from gateway.edge.http_message import HttpResponse

__all__ = ["encode_answer", "http_date", "path_and_query"]

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    424: "Failed Dependency",
    499: "Client Closed Request",
}


@lru_cache(maxsize=2)
def http_date(second: int) -> str:
    """The ``Date`` header's value in this second since the epoch; it is made once."""
    return formatdate(second, usegmt=True)


def encode_answer(response: HttpResponse, now: float, connection: str, *, has_body: bool = True) -> bytes:
    """
    ``now`` is the wall clock's, and ``connection`` the header of that name, empty to leave it out; HEAD has no body.

    Raises ``ValueError`` for a header of ours that would break the line.
    """
    status, body = response.status, response.body
    start = _start(status, response.content_type, connection, tuple(response.headers))
    head = f"{start}{http_date(int(now))}\r\nx-request-id: {response.id}"
    if response.caller_id:
        head += f"\r\nx-ms-client-request-id: {response.caller_id}"
    if response.timing:
        head += f"\r\nServer-Timing: {response.timing}"
    head += "\r\n\r\n" if status == 204 else f"\r\nContent-Length: {len(body)}\r\n\r\n"
    data = head.encode("latin-1", "replace")
    return data + body if has_body else data


@lru_cache(maxsize=256)
def _start(status: int, content_type: str, connection: str, headers: tuple[tuple[str, str], ...]) -> str:
    """The lines that an answer has in common with others, up to the date."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    if connection:
        lines.append(f"Connection: {connection}")
    for name, value in headers:
        if "\r" in value or "\n" in value:
            raise ValueError(f"a line break in the header {name}")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "Date: "])


def path_and_query(target: str) -> tuple[str, str]:
    """Both still encoded. Of a target in absolute form, as proxies send it, the path; empty for ``*`` and the like."""
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        _, scheme, rest = path.partition("://")
        _, slash, path = rest.partition("/")
        path = slash + path if scheme else ""
    return path, query
