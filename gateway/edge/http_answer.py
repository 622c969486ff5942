"""
An HTTP/1.1 answer as bytes, and the request target as a path: what both HTTP engines must do in the same way. Pure.

An answer always has a Content-Length (but a 204, which has no body) and is one block, so that it leaves in one write.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

from gateway.edge.http_message import HttpResponse

__all__ = ["DateHeader", "encode_answer", "path_and_query"]

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: " for status in HTTPStatus} | {
    424: "HTTP/1.1 424 Failed Dependency\r\nDate: ",
    499: "HTTP/1.1 499 Client Closed Request\r\nDate: ",
}


class DateHeader:
    """The ``Date`` header's value, made once a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._second, self._text = clock, -1, ""

    def __call__(self) -> str:
        second = int(self._clock())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text


def encode_answer(response: HttpResponse, date: str, connection: str, *, has_body: bool = True) -> bytes:
    """
    ``connection`` is the header of that name, empty to leave it out; HEAD has no body.

    Raises ``ValueError`` for a header of ours that would break the line.
    """
    status, body = response.status, response.body
    opening = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Error\r\nDate: "
    content_type = response.content_type
    if content_type and status != 204:
        head = f"{opening}{date}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    elif content_type:
        head = f"{opening}{date}\r\nContent-Type: {content_type}"
    elif status != 204:
        head = f"{opening}{date}\r\nContent-Length: {len(body)}"
    else:
        head = opening + date
    if connection:
        head += f"\r\nConnection: {connection}"
    for name, value in response.headers:
        if "\r" in value or "\n" in value:
            raise ValueError(f"a line break in the header {name}")
        head += f"\r\n{name}: {value}"
    data = f"{head}\r\n\r\n".encode("latin-1", "replace")
    return data + body if has_body else data


def path_and_query(target: str) -> tuple[str, str]:
    """Both still encoded. Of a target in absolute form, as proxies send it, the path; empty for ``*`` and the like."""
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        _, scheme, rest = path.partition("://")
        _, slash, path = rest.partition("/")
        path = slash + path if scheme else ""
    return path, query
