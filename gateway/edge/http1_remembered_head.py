"""
A head that was accepted once, so that the next request of its connection with the same one needs no parser. Pure.

Most clients that keep a connection send one head over and over, byte for byte, but for the digits of its
Content-Length and the ids that some put into each request. What llhttp and the reader make of a head depends on nothing
but its bytes, as long as the parser stands between two messages; so the same bytes mean the same request again, and
only what is in those holes is to be read anew. An id is a hole if it has no character but letters, digits and dashes,
which mean nothing to anybody in a value, and as many of them as before.

This accepts, and never refuses: another byte, a length of more digits than any body has, a body that is too large,
there in part or followed by something, each is None, and whoever asked goes the whole way, which knows the answer.
Remembered is only what is framed by a plain Content-Length and leaves the connection as it was.

Many clients send a head and its body in two pieces: then the head is recognized alone, and ``lacks`` says how much body
is to come.

It holds its client's credentials: it belongs to one connection, goes with it, and is nowhere shown.
"""

from __future__ import annotations

import re

from gateway.edge.http_message import HttpRequest

__all__ = ["MAX_BYTES", "RememberedHead"]

MAX_BYTES = 4096
"""Of a head. A token of Entra ID takes two thousand; an idle connection is to stay small."""
_MAX_DIGITS = 15
"""Of a length: far below where llhttp's counting ends, far above any body."""
_LENGTH = re.compile(rb"\r\n(content-length):[ \t]*([0-9]{1,15})(?=\r\n)", re.IGNORECASE)
_ID = re.compile(
    rb"\r\n(traceparent|request-id|x-request-id|x-ms-client-request-id|x-correlation-id):[ \t]*([0-9a-z-]+)(?=\r\n)",
    re.IGNORECASE,
)
_NOT_PLAIN = ("transfer-encoding", "upgrade", "expect")


class RememberedHead:
    """Makes requests of what begins with it; each has headers of its own."""

    __slots__ = (
        *("_after", "_headers", "_holes", "_max_body", "_request", "_size", "_sizes", "_total", "_whole"),
        *("lacks", "was_useful"),
    )

    def __init__(
        self, head: bytes, holes: list[tuple[bytes, str, int]], after: bytes, request: HttpRequest, max_body: int
    ) -> None:
        self._holes, self._after = holes, after
        """What stands before each hole, whose value goes there, and how long it is; 0 for that of digits."""
        self._whole, self._size, self._total = head, len(head), len(head) + len(request.body)
        self._sizes = self._total, self._size
        self._headers, self._max_body = dict(request.headers), max_body
        self._request = request.method, request.path, request.query, request.peer, request.certificate
        self.was_useful = False
        """Whether it was recognized since."""
        self.lacks = 0
        """Bytes of the body of the latest that was recognized, none of which is there; 0 if it is whole."""

    @classmethod
    def of(cls, data: bytes, request: HttpRequest, max_body: int) -> RememberedHead | None:
        """
        The head of ``data``, which began between two messages and was read as ``request``, the last one to end in it.

        None for what is not plain, and if ``data`` is anything else than just this request.
        """
        headers = request.headers
        size = len(data) - len(request.body)
        if size > MAX_BYTES or any(name in headers for name in _NOT_PLAIN):
            return None
        head = data[:size]
        # The first blank line ends a head: if it stands just before the body, nothing else was in ``data``.
        length = _LENGTH.search(head) if head.find(b"\r\n\r\n") == size - 4 else None
        if length is None:
            return None
        holes, at, lower = [], 0, head.lower()
        for found in sorted([length, *_ID.finditer(head)], key=lambda each: each.start()):
            name = found[1].lower()
            if lower.count(b"\r\n%b:" % name) == 1:  # of two the first counts, and it may be any of them
                holes.append((head[at : found.start(2)], name.decode(), 0 if found is length else len(found[2])))
                at = found.end()
        return cls(head, holes, head[at:], request, max_body)

    def again(self, data: bytes) -> HttpRequest | None:
        """The request that ``data`` is, if it is one with this head, whole or without its body, and alone."""
        headers = self._headers.copy()
        size = len(data)
        if size in self._sizes and data.startswith(self._whole):
            end = self._size
            self.lacks = self._total - size
        else:
            end = length = 0
            for before, name, width in self._holes:
                if not data.startswith(before, end):
                    return None
                at = end + len(before)
                if width:
                    end = at + width
                    value = data[at:end]
                    if not value.replace(b"-", b"").isalnum():
                        return None
                else:
                    end = data.find(b"\r", at, at + _MAX_DIGITS + 1)
                    value = data[at:end]
                    if end < 0 or not value.isdigit():
                        return None
                    length = int(value)
                headers[name] = value.decode()
            if not data.startswith(self._after, end):
                return None
            end += len(self._after)
            lacks = end + length - size
            if length > self._max_body or (lacks and size != end):
                return None
            self.lacks = lacks
        self.was_useful = True
        method, path, query, peer, certificate = self._request
        return HttpRequest(method, path, query, headers, data[end:], peer, certificate)
