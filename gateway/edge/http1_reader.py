"""
HTTP/1.1 requests out of bytes, without I/O: llhttp tells the grammar, this what we take of it.

llhttp runs strict, which refuses what request smuggling lives on: two lengths, a length beside chunks, folded lines,
bare line feeds, spaces before a colon. What it lets through is refused here: transfer encodings other than chunked,
two hosts or none, versions that are not 1.x, and whatever is over a limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import unquote

import httptools

from gateway.core.access import ClientCertificate
from gateway.core.errors import GatewayError, InvalidInput, TooLarge
from gateway.edge.config import EdgeConfig
from gateway.edge.errors import HeaderTooLarge
from gateway.edge.http1_headers import MAX_HEADERS, add_headers, check_sizes
from gateway.edge.http1_remembered_head import MAX_BYTES, RememberedHead
from gateway.edge.http1_upgrade import body_parser
from gateway.edge.http_answer import path_and_query
from gateway.edge.http_message import HttpRequest

__all__ = ["SLICE", "Arrived", "RequestReader"]

SLICE = 16 * 1024
"""The most bytes to feed at once: the reader's limits are exact only up to this."""

Arrived: TypeAlias = Callable[[HttpRequest, str], None]
"""Told of each whole request, with the ``Connection`` header that its answer needs: empty, keep-alive or close."""

_HEADS = 4
"""How many times one header's limit a whole head may have."""
_TRIES = 4
"""Heads to remember one after another when none of them comes again: some clients put something new into each."""
_METHODS: dict[bytes, str] = {name.encode(): name for name in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE")}


class RequestReader:
    """
    One connection's requests, in order. After ``feed`` has raised, nothing more may be fed.

    The methods beginning with ``on_`` are llhttp's to call.
    """

    __slots__ = (
        "_arrived",
        "_certificate",
        "_complete",
        "_fed",
        "_head",
        "_lines",
        "_max_body",
        "_max_header",
        "_parser",
        "_parts",
        "_place",
        "_size",
        "_skips_body",
        "_target",
        "_tries",
        "_unproductive",
        "_withheld",
        "expects_continue",
        "is_between",
        "peer",
        "remembered",
        "request",
    )

    def __init__(
        self, config: EdgeConfig, peer: str, arrived: Arrived, certificate: ClientCertificate | None = None
    ) -> None:
        self._max_body, self._max_header = config.max_body_bytes, config.max_header_bytes
        self.peer, self._arrived, self._certificate = peer, arrived, certificate
        self.request: HttpRequest | None = None
        """The one whose body is being read."""
        self.expects_continue = False
        """Whether its sender waits to be told to go on."""
        self.is_between = True
        """Whether the next byte begins a request that the connection is open for."""
        self.remembered: RememberedHead | None = None
        """A head to try before ``feed``, while ``is_between``; what it knows need not be fed."""
        self._tries = _TRIES
        self._withheld: tuple[bytes, HttpRequest, int] | None = None
        """A head that the parser was not told of, what it says, and how many bytes of body must follow."""
        self._head = b""
        """The latest piece, if it was a head whose body is still to come."""
        self._complete: HttpRequest | None = None
        """The latest that the piece which is being fed has completed."""
        self._lines: list[tuple[bytes, bytes]] = []
        """Headers as they came."""
        self._target = b""
        self._place = b"", "", ""
        """The last target with its path and query: most clients ask for one thing."""
        self._parts: list[bytes] = []
        self._size = 0
        self._fed = 0
        """Bytes of the latest piece."""
        self._unproductive = 0
        """Bytes of the pieces since the one in which a head ended or a body went on: at least as many as a head has."""
        self._skips_body = False
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)

    def close(self) -> None:
        """Lets go of the parser, which holds on to this."""
        self._parser = self._withheld = None

    @property
    def body_bytes(self) -> int:
        """How much is held of the body that is being read."""
        return self._size

    @property
    def is_in_head(self) -> bool:
        """Whether as much of a request as its target is here, and the end of its headers is not."""
        return self._target != b""

    def drop_body(self) -> None:
        """Nobody wants what has come of it."""
        self._parts, self._size = [], 0

    def known(self) -> HttpRequest:
        """What is known of the request that could not be read, so that the refusal speaks its family's language."""
        if self.request is not None:
            return self.request
        path, query = path_and_query(self._target.decode("ascii", "replace"))
        return HttpRequest("", path, query, {}, b"", self.peer)

    def withhold(self, head: bytes, request: HttpRequest, lacks: int) -> None:
        """
        ``head`` is one that is remembered, and is not fed: if the ``lacks`` bytes of its body come in one piece, there
        is nothing to parse. Only while ``is_between``.
        """
        self.request, self.is_between = request, False
        self._withheld = head, request, lacks

    def feed(self, data: bytes | memoryview) -> None:
        """Raises ``GatewayError``: the answer to the request that could not be read."""
        if self._withheld is not None and self._settle(data):
            return
        parser = self._parser
        if parser is None:
            return
        self._fed = size = len(data)
        self._unproductive += size
        was_between = self.is_between
        while True:
            at: int | None = None
            try:
                parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                at = upgrade.args[0]
            except httptools.HttpParserCallbackError as error:
                if isinstance(error.__context__, GatewayError):
                    raise error.__context__ from None
                raise
            except httptools.HttpParserError as error:
                raise InvalidInput(f"expected an HTTP/1.1 request: {error}") from error
            if at is None:
                break
            # Outside of the handler above, whose error would hide the one that a callback raises.
            parser, data = self._past_upgrade(parser), data[at:]
        if self._unproductive > _HEADS * self._max_header + SLICE:
            # A head, a trailer or a chunk's extension without an end.
            raise HeaderTooLarge(f"expected headers of at most {_HEADS * self._max_header} bytes together")
        complete, self._complete = self._complete, None
        head, self._head = self._head, b""
        if complete is None:
            if was_between and self.request is not None and not self._size and self._fed <= MAX_BYTES:
                self._head = bytes(data)
        elif self.is_between and (was_between or head):
            self._remember(head + data, complete)

    def _settle(self, data: bytes | memoryview) -> bool:
        """Whether ``data`` is the whole body of the head that was withheld; if not, the parser is told of that head."""
        assert self._withheld is not None  # noqa: S101  # asked by whoever calls
        head, request, lacks = self._withheld
        self._withheld, self.request, self.is_between = None, None, True
        if len(data) == lacks:
            request.body = bytes(data)
            self._arrived(request, "")
            return True
        self.feed(head)
        if self.request is not None:
            self.request.received = request.received
        return False

    def on_message_begin(self) -> None:
        self.is_between = False

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:
            raise InvalidInput("the connection is closed")
        target, path, query = self._place
        if target != self._target:
            target = self._target
            path, query = path_and_query(target.decode("ascii"))
            if "%" in path:
                path = unquote(path)
            self._place = target, path, query
        name = parser.get_method()
        method = _METHODS.get(name) or name.decode("ascii")
        headers: dict[str, str] = {}
        self.request = HttpRequest(method, path, query, headers, b"", self.peer, self._certificate)
        lines = self._lines
        if self._unproductive > self._max_header or len(lines) > MAX_HEADERS:
            # Otherwise all of it together is not more than one may be.
            check_sizes(target, lines, self._max_header)
        add_headers(headers, lines)
        self._lines, self._target, self._unproductive = [], b"", self._fed
        if "host" not in headers and parser.get_http_version() != "1.0":
            raise InvalidInput("expected a host header")
        length = headers.get("content-length")
        if length is not None:
            # llhttp lets spaces behind it pass, and as many noughts as it likes, where ``int`` has a limit.
            length = length.rstrip(" \t").lstrip("0")
            has_body = length != ""
            if has_body and int(length) > self._max_body:
                raise self._too_large()
        else:
            has_body = "transfer-encoding" in headers
            if has_body and (
                headers["transfer-encoding"].strip().lower() != "chunked" or parser.get_http_version() != "1.1"
            ):
                raise InvalidInput("transfer-encoding: expected chunked, in HTTP/1.1")
        if has_body:
            self.expects_continue = "expect" in headers and headers["expect"].strip().lower() == "100-continue"
            self._skips_body = parser.should_upgrade()

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        self._unproductive = self._fed
        if self._size > self._max_body:
            raise self._too_large()
        self._parts.append(part)

    def on_message_complete(self) -> None:
        request, parser = self.request, self._parser
        if self._skips_body or request is None or parser is None:
            return
        connection = ""
        if not parser.should_keep_alive() or request.method == "CONNECT":
            connection = "close"
            if parser.get_http_version() not in ("1.1", "1.0"):
                raise InvalidInput("expected HTTP/1.1")
        elif "connection" in request.headers and parser.get_http_version() == "1.0":
            connection = "keep-alive"
        parts = self._parts
        if parts:
            request.body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._parts, self._size = [], 0
        if self._lines:
            self._lines = []  # trailers: nobody asks for any
        self._unproductive = self._fed
        self.request, self.expects_continue = None, False
        self._complete = request
        self.is_between = connection == ""
        self._arrived(request, connection)

    def _remember(self, data: bytes | memoryview, request: HttpRequest) -> None:
        if self.remembered is not None and self.remembered.was_useful:
            self._tries = _TRIES
        if self._tries:
            self._tries -= 1
            self.remembered = RememberedHead.of(bytes(data), request, self._max_body)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"expected a body of at most {self._max_body} bytes")

    def _past_upgrade(self, parser: httptools.HttpRequestParser) -> httptools.HttpRequestParser:
        """What reads on behind a head that offered to change the protocol."""
        if not self._skips_body or self.request is None:
            return parser
        self._skips_body = False
        self._parser = parser = body_parser(self.request.headers, self.on_body, self.on_message_complete)
        return parser
