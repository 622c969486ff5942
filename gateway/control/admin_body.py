"""Reads the JSON body of a request to the admin API into its type, bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from typing import ClassVar, TypeVar

import msgspec
from aiohttp import web

from gateway.core.errors import InvalidInput, TooLarge

__all__ = ["BodyLate", "read_body"]

T = TypeVar("T")

_TIMEOUT = 10.0
_CHUNK = 64 * 1024


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
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"expected a JSON object: {_safe(error)}") from None
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


def _safe(error: Exception) -> str:
    """What msgspec says of types names keys and types; of text that is no JSON only that it is none."""
    return str(error) if isinstance(error, msgspec.ValidationError) else "this is not JSON"
