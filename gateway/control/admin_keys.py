"""
Keys and tokens on the admin API, at the paths and in the words of Azure ML's control plane.

Everything here takes a principal with the role ``keys`` or ``admin``, unlike the probes beside it. Answers with a
secret in them are not to be kept by anybody on the way. ``/onlineEndpoints/<name>/…`` is the same as
``/endpoints/<name>/…``, and paths are taken in both of the spellings that Azure's documents have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from aiohttp import web

from gateway.control.admin_answer import StatusOf, caller_of, json_answer, refusal
from gateway.core.access import Caller, Role
from gateway.core.errors import GatewayError, InvalidInput

__all__ = ["KeyDesk", "key_routes"]

T = TypeVar("T", bound=msgspec.Struct)

_SLOTS: dict[str, Literal["primary", "secondary"]] = {"primary": "primary", "secondary": "secondary"}
_BODY_TIMEOUT = 10.0


class KeyDesk(Protocol):
    """Whoever judges the caller and does it. Raises ``GatewayError``."""

    async def known(self, caller: Caller) -> None:
        """Whether the caller may manage any keys at all: asked before anything of the request is read."""

    async def keys(self, caller: Caller) -> list[dict[str, Any]]: ...

    async def create(
        self, caller: Caller, name: str, roles: Sequence[Role], endpoints: Sequence[str] | None, lifetime: int | None
    ) -> dict[str, Any]: ...

    async def revoke(self, caller: Caller, name: str) -> None: ...

    async def endpoint_keys(self, caller: Caller, endpoint: str) -> dict[str, Any]: ...

    async def regenerate(
        self, caller: Caller, endpoint: str, slot: Literal["primary", "secondary"]
    ) -> dict[str, Any]: ...

    async def token(self, caller: Caller, endpoint: str) -> dict[str, Any]: ...


class _NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    roles: list[Role] = msgspec.field(default_factory=lambda: [Role.SCORE])
    endpoints: list[str] | None = None
    expires_in_s: int | None = None


class _Regenerate(msgspec.Struct, frozen=True, kw_only=True):
    keyType: str  # noqa: N815  # Azure's
    keyValue: str | None = None  # noqa: N815


def key_routes(desk: KeyDesk, status_of: StatusOf) -> list[web.RouteDef]:
    """The routes, for ``serve_admin``."""

    async def keys(request: web.Request) -> web.Response:
        return json_answer({"keys": await desk.keys(caller_of(request))})

    async def create(request: web.Request) -> web.Response:
        wanted = await _body(request, _NewKey)
        made = await desk.create(caller_of(request), wanted.name, wanted.roles, wanted.endpoints, wanted.expires_in_s)
        return json_answer(made, 201)

    async def revoke(request: web.Request) -> web.Response:
        await desk.revoke(caller_of(request), request.match_info["name"])
        return web.Response(status=204)

    async def list_keys(request: web.Request) -> web.Response:
        return json_answer(await desk.endpoint_keys(caller_of(request), request.match_info["endpoint"]))

    async def regenerate(request: web.Request) -> web.Response:
        wanted = await _body(request, _Regenerate)
        slot = _SLOTS.get(wanted.keyType.lower())
        if slot is None:
            raise InvalidInput("keyType: expected Primary or Secondary")
        if wanted.keyValue is not None:
            raise InvalidInput("keyValue: expected null: keys are made here")
        made = await desk.regenerate(caller_of(request), request.match_info["endpoint"], slot)
        return json_answer(made)

    async def token(request: web.Request) -> web.Response:
        return json_answer(await desk.token(caller_of(request), request.match_info["endpoint"]))

    found = [("GET", "/keys", keys), ("POST", "/keys", create), ("DELETE", "/keys/{name}", revoke)]
    for base in ("/endpoints/{endpoint}", "/onlineEndpoints/{endpoint}"):
        found += [("POST", f"{base}/{path}", list_keys) for path in ("listKeys", "listkeys")]
        found += [("POST", f"{base}/{path}", regenerate) for path in ("regenerateKeys", "regeneratekeys")]
        found.append(("POST", f"{base}/token", token))
    return [web.route(method, path, _fenced(desk, handler, status_of)) for method, path, handler in found]


Handler = Callable[[web.Request], Awaitable[web.Response]]


def _fenced(desk: KeyDesk, handler: Handler, status_of: StatusOf) -> Handler:
    """Nobody gets in unknown; errors become answers."""

    async def handle(request: web.Request) -> web.Response:
        try:
            await desk.known(caller_of(request))
            return await handler(request)
        except GatewayError as error:
            return refusal(error, status_of)

    return handle


async def _body(request: web.Request, kind: type[T]) -> T:
    """``serve_admin`` bounds its size."""
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, TimeoutError):
        # The complaint may quote what was sent, and that may be a key in the wrong place.
        fields = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise InvalidInput(f"expected a JSON object of {fields}") from None
