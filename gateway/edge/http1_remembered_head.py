"""
A head that was accepted once, so that the next request of its connection with the same one needs no parser. Pure.

Most clients that keep a connection send one head over and over, byte for byte, but for the digits of its
Content-Length. What llhttp and the reader make of a head depends on nothing but its bytes, as long as the parser stands
between two messages; so the same bytes mean the same request again, and only the length is to be read anew.

This accepts, and never refuses: a byte that differs, a length of more digits than any body has, a body that is too
large, not there yet or followed by something, each is None, and whoever asked goes the whole way, which knows the
answer. Remembered is only what is framed by a plain Content-Length and leaves the connection as it was.

It holds its client's credentials: it belongs to one connection, goes with it, and is nowhere shown.
"""

from __future__ import annotations

import re

from gateway.edge.http_message import HttpRequest

__all__ = ["RememberedHead"]

_MAX_BYTES = 4096
"""Of a head. A token of Entra ID takes two thousand; an idle connection is to stay small."""
_MAX_DIGITS = 15
"""Of a length: far below where llhttp's counting ends, far above any body."""
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})\r\n", re.IGNORECASE)
_NOT_PLAIN = ("transfer-encoding", "upgrade", "expect")


class RememberedHead:
    """Makes requests of what begins with it; each has headers of its own."""

    __slots__ = (
        "_after",
        "_at",
        "_before",
        "_certificate",
        "_headers",
        "_max_body",
        "_method",
        "_path",
        "_peer",
        "_query",
        "_size",
        "_total",
        "_whole",
        "was_useful",
    )

    def __init__(self, head: bytes, digits: tuple[int, int], request: HttpRequest, max_body: int) -> None:
        at, end = digits
        self._at, self._before, self._after = at, head[:at], head[end:]
        self._whole, self._size, self._total = head, len(head), len(head) + len(request.body)
        self._method, self._path, self._query = request.method, request.path, request.query
        self._headers, self._peer, self._certificate = dict(request.headers), request.peer, request.certificate
        self._max_body = max_body
        self.was_useful = False
        """Whether it was recognized since."""

    @classmethod
    def of(cls, data: bytes, request: HttpRequest, max_body: int) -> RememberedHead | None:
        """
        The head of ``data``, which began between two messages and was read as ``request``, the last one to end in it.

        None for what is not plain, and if ``data`` is anything else than just this request.
        """
        headers = request.headers
        length = headers.get("content-length")
        size = len(data) - len(request.body)
        if length is None or size > _MAX_BYTES or any(name in headers for name in _NOT_PLAIN):
            return None
        head = data[:size]
        # The first blank line ends a head: if it stands just before the body, nothing else was in ``data``.
        found = _LENGTH.search(head) if head.find(b"\r\n\r\n") == size - 4 else None
        if found is None or found[1].decode() != length:
            return None
        return cls(head, found.span(1), request, max_body)

    def again(self, data: bytes) -> HttpRequest | None:
        """The request that ``data`` is, if it is one with this head, whole and alone."""
        if len(data) == self._total and data.startswith(self._whole):
            at, headers = self._size, self._headers.copy()
        else:
            start, after = self._at, self._after
            end = data.find(b"\r", start, start + _MAX_DIGITS + 1)
            digits = data[start:end]
            if end < 0 or not digits.isdigit() or not data.startswith(self._before):
                return None
            length, at = int(digits), end + len(after)
            if length > self._max_body or len(data) - at != length or not data.startswith(after, end):
                return None
            headers = {**self._headers, "content-length": digits.decode()}
        self.was_useful = True
        request = HttpRequest(self._method, self._path, self._query, headers, data[at:], self._peer)
        if self._certificate is not None:
            request.certificate = self._certificate
        return request
