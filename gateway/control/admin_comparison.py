"""
What shadows answer otherwise than their primaries, on the admin API.

It takes a caller with the role ``read`` on the endpoint. ``…/comparison`` is the report; ``…/comparison/state`` is what
it is made from, which can be added up: a supervisor asks its gateways for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from gateway.control.admin_keys import StatusOf
from gateway.core.access import Access, Presented, Role
from gateway.core.errors import Forbidden, GatewayError, Unauthenticated

__all__ = ["comparison_routes"]


def comparison_routes(
    access: Access,
    state: Callable[[str, str | None], Awaitable[Any]],
    report: Callable[[Any], Any],
    status_of: StatusOf,
) -> list[web.RouteDef]:
    """
    The routes, for ``serve_admin``. ``state`` is given the endpoint and the caller's credential, to ask others with it.
    """

    async def answer(request: web.Request, shown: Callable[[Any], Any]) -> web.Response:
        endpoint, credential = request.match_info["endpoint"], request.headers.get("Authorization")
        try:
            await access(Presented(credential, None, request.remote or ""), endpoint, Role.READ)
            return _json(shown(await state(endpoint, credential)))
        except GatewayError as error:
            status, word = status_of(error)
            response = _json({"error": {"code": word, "message": str(error)}}, status)
            if isinstance(error, (Unauthenticated, Forbidden)):
                response.headers["WWW-Authenticate"] = error.challenge
            return response

    async def reported(request: web.Request) -> web.Response:
        return await answer(request, report)

    async def plain(request: web.Request) -> web.Response:
        return await answer(request, lambda value: value)

    path = "/endpoints/{endpoint}/comparison"
    return [web.get(path, reported), web.get(f"{path}/state", plain)]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
