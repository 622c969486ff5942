"""
Where a gateway hears which models could not be loaded: its workers only tell it of those that were.

``PUT /failed`` on the admin socket of a gateway, from its supervisor, says all of them; the ones that it does not name
have not failed, or no longer. Why they failed stays with the supervisor: it is not for the gateway's callers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from aiohttp import web

from gateway.control.admin_answer import StatusOf, json_answer, refusal
from gateway.control.admin_api import LARGEST_LOCAL
from gateway.control.admin_body import read_body
from gateway.core.errors import GatewayError

__all__ = ["FailedLoads", "failed_routes"]


class FailedLoads(msgspec.Struct, frozen=True):
    """Endpoint → deployments whose workers could not load the model."""

    deployments: Mapping[str, Sequence[str]]


def failed_routes(note: Callable[[Collection[tuple[str, str]]], None], status_of: StatusOf) -> list[web.RouteDef]:
    """The route, for ``serve_admin`` on a Unix socket; ``note`` takes pairs of endpoint and deployment."""

    async def put(request: web.Request) -> web.Response:
        try:
            told = await read_body(request, FailedLoads, LARGEST_LOCAL)
        except GatewayError as error:
            return refusal(error, status_of)
        note([(endpoint, name) for endpoint, names in told.deployments.items() for name in names])
        return json_answer(told)

    return [web.put("/failed", put)]
