"""
How a supervisor brings its gateways from one version to the next, on their admin sockets.

``PUT /served`` prepares what its body says, ``POST /served/commit`` switches to it, ``DELETE /served`` drops it, and
``GET /served`` tells how far the process is. The socket is the supervisor's own: nobody is asked for a key here.

A refusal is 409: this version is not going to be served here. 503 says nothing about the version: this process cannot
tell now, because it is leaving, or because workers, the feature store or the rest of the body have not come in time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from aiohttp import web

from gateway.control.admin_answer import StatusOf, json_answer, refusal
from gateway.control.admin_api import LARGEST_LOCAL
from gateway.control.admin_body import read_body
from gateway.control.served import Served
from gateway.core.errors import GatewayError

__all__ = ["Reloadable", "ServedState", "VersionOf", "served_routes"]

_REFUSED, _NOT_NOW = 409, 503


class VersionOf(msgspec.Struct, frozen=True):
    """Of what is served."""

    version: int


class ServedState(msgspec.Struct, frozen=True, kw_only=True):
    """How far one gateway is."""

    version: int
    """That it serves by."""
    prepared: int | None = None
    """That it could switch to."""
    draining: Sequence[str] = ()
    """Addresses of workers that only requests of older versions still use."""
    using: Sequence[str] = ()
    """Addresses of all workers that may still be sent something."""


class Reloadable(Protocol):
    """One gateway process. Raises ``GatewayError`` for what it refuses; then nothing has changed."""

    @property
    def state(self) -> ServedState: ...

    async def prepare(self, served: Served) -> None: ...

    async def commit(self, version: int) -> None: ...

    async def abandon(self) -> None: ...


def served_routes(gateway: Reloadable, status_of: StatusOf) -> list[web.RouteDef]:
    """The routes, for ``serve_admin`` on a Unix socket."""

    async def prepare(request: web.Request) -> web.Response:
        served = await read_body(request, Served, LARGEST_LOCAL)
        await gateway.prepare(served)
        return json_answer(VersionOf(served.version))

    async def commit(request: web.Request) -> web.Response:
        wanted = await read_body(request, VersionOf, LARGEST_LOCAL)
        await gateway.commit(wanted.version)
        return json_answer(wanted)

    async def abandon(_: web.Request) -> web.Response:
        await gateway.abandon()
        return json_answer(gateway.state)

    async def look(_: web.Request) -> web.Response:
        return json_answer(gateway.state)

    found = [
        ("PUT", "/served", prepare),
        ("POST", "/served/commit", commit),
        ("DELETE", "/served", abandon),
        ("GET", "/served", look),
    ]
    return [web.route(method, path, _fenced(handler, status_of)) for method, path, handler in found]


Handler = Callable[[web.Request], Awaitable[web.Response]]


def _fenced(handler: Handler, status_of: StatusOf) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except GatewayError as error:
            response = refusal(error, status_of)
            response.set_status(_NOT_NOW if error.retryable else _REFUSED)
            return response

    return handle
