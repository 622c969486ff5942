"""Reads the JSON body of a request to the admin API into its type, bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from typing import ClassVar, TypeVar

import msgspec
from aiohttp import web

from gateway.control.convert import WrongValue, convert
from gateway.core.errors import InvalidInput, TooLarge

__all__ = ["BodyLate", "read_body"]

T = TypeVar("T")

_TIMEOUT = 10.0
_CHUNK = 64 * 1024
_SHOWN = 64
"""Characters of a name from a body that an error repeats."""
_SEARCHED = 64 * 1024
"""Bytes of a body in which the names that lead to what is wrong are looked for: it is read again for each
doubling of a mapping."""


class BodyLate(InvalidInput):
    """It did not arrive in time; that says nothing about what is in it."""

    retryable: ClassVar[bool] = True


async def read_body(request: web.Request, kind: type[T], largest: int) -> T:
    """Raises ``InvalidInput``, naming the field, ``BodyLate`` and ``TooLarge``; no value of the body is repeated."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            body = await _bytes(request, largest)
        return msgspec.json.decode(body, type=kind)
    except TimeoutError:
        raise BodyLate("the body did not arrive in time") from None
    except msgspec.ValidationError as error:
        raise InvalidInput((len(body) <= _SEARCHED and _told(body, kind)) or f"the body: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidInput("the body: expected a JSON object, this is not JSON") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None


async def _bytes(request: web.Request, largest: int) -> bytes:
    if (request.content_length or 0) > largest:
        raise TooLarge(f"expected a body of at most {largest} bytes")
    body = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > largest:
            raise TooLarge(f"expected a body of at most {largest} bytes")
    return bytes(body)


def _told(body: bytes, kind: type[object]) -> str:
    """The keys that lead to what is wrong, those of mappings too, and what was expected there; no value."""
    try:
        convert(msgspec.json.decode(body), kind)
    except WrongValue as wrong:
        keys = ".".join(key[:_SHOWN] for key in wrong.keys)
        return f"{keys or 'the body'}: {wrong}"
    except RecursionError:  # what is wrong came before what is too deep
        return ""
    return ""
