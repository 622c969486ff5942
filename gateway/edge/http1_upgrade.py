"""
Reads the body of a request that offers to change the protocol, for llhttp does not.

Such an offer is not taken up, as HTTP allows, so the body is one like any other. llhttp takes what follows the head for
the other protocol: another parser is made to read it, with a head that only says how it is framed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httptools

__all__ = ["body_parser"]


def body_parser(
    headers: Mapping[str, str], on_body: Callable[[bytes], None], on_message_complete: Callable[[], None]
) -> httptools.HttpRequestParser:
    """To be fed what comes behind a head with these headers, which say that there is a body."""
    length = headers.get("content-length")
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    parser = httptools.HttpRequestParser(_BodyOnly(on_body, on_message_complete))
    parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\nConnection: close\r\n\r\n".encode())
    return parser


@dataclass(frozen=True, slots=True)
class _BodyOnly:
    """What the parser calls: whoever asks for it has read the head."""

    on_body: Callable[[bytes], None]
    on_message_complete: Callable[[], None]
