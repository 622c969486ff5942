"""
Bytes → JSON value, or an error that says what is wrong with them.

Strict where a silent choice would change a prediction: NaN and Infinity are no JSON (send ``null``), a number that no
double can hold is refused, and so is text that is not in its charset. Of a key that occurs twice the last one counts,
as in every common parser. Whole numbers keep all their digits, however many. Deep nesting is an error, not a crash.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.core.errors import InvalidInput, UnsupportedMedia
from gateway.edge.content_coding import decoded
from gateway.edge.http_message import HttpRequest

__all__ = ["json_value", "parse", "text_of"]

_JSON = "application/json"
_CHARSET = re.compile(r'charset\s*=\s*"?([A-Za-z0-9_.:-]+)', re.IGNORECASE)
_UTF_8 = ("utf-8", "utf8", "us-ascii", "ascii")
_OTHERS = ("utf-16", "utf-16le", "utf-16be", "iso-8859-1", "latin1", "windows-1252")
_BOM = b"\xef\xbb\xbf"
_NOT_A_NUMBER = re.compile(rb"[\[:,]\s*-?(NaN|Infinity|NA|Inf)\b")

_decode = msgspec.json.Decoder().decode


def json_value(request: HttpRequest, limit: int) -> Any:
    """The body of ``request`` as a JSON value; ``limit`` bytes after decompression."""
    headers = request.headers
    if "content-encoding" in headers or headers.get("content-type", _JSON) != _JSON:
        return parse(text_of(request, limit))
    return parse(request.body.removeprefix(_BOM))  # as nearly every request has it


def text_of(request: HttpRequest, limit: int) -> bytes:
    """The body without its content encoding and byte order mark, in UTF-8."""
    headers, body = request.headers, request.body
    if "content-encoding" in headers:
        body = decoded(body, headers["content-encoding"], limit)
    content_type = headers.get("content-type", _JSON)
    # The search takes as long as the parser, and the plain type comes with nearly every request.
    if content_type != _JSON and (named := _CHARSET.search(content_type)):
        charset = named[1].lower()
        if charset not in _UTF_8:
            if charset not in _OTHERS:
                raise UnsupportedMedia("charset: expected utf-8")
            try:
                body = body.decode(charset).encode()
            except UnicodeError as error:
                raise InvalidInput(f"the body is not {charset}") from error
    return body.removeprefix(_BOM)


def parse(body: bytes) -> Any:
    """Raises ``InvalidInput``."""
    try:
        return _decode(body)
    except RecursionError as error:
        raise InvalidInput("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("the body is not UTF-8") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(_explained(body, error)) from error


def _explained(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "expected a JSON body, it is empty"
    if _NOT_A_NUMBER.search(body):
        return "the body is not JSON: NaN, NA and Infinity are no JSON values; send null for a missing one"
    return f"the body is not JSON: {error}"
