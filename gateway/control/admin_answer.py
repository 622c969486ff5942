"""What the admin API's routes that judge their callers have in common: who asks, and answers and refusals in JSON."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from gateway.core.access import Caller, Presented
from gateway.core.errors import Forbidden, GatewayError, Unauthenticated

__all__ = ["StatusOf", "caller_of", "json_answer", "refusal"]

StatusOf = Callable[[BaseException], tuple[int, str]]
"""HTTP status and code word of an error: the edge's table, which this package may not import."""


def caller_of(request: web.Request) -> Caller:
    return Presented(request.headers.get("Authorization"), None, request.remote or "")


def json_answer(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def refusal(error: GatewayError, status_of: StatusOf) -> web.Response:
    """With the challenge, for who may not or is not known."""
    status, word = status_of(error)
    response = json_answer({"error": {"code": word, "message": str(error)}}, status)
    if isinstance(error, (Unauthenticated, Forbidden)):
        response.headers["WWW-Authenticate"] = error.challenge
    return response
