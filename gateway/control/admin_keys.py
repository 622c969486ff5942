"""
Keys and tokens on the admin API, at the paths and in the words of Azure ML's control plane.

Everything here takes a principal with the role ``keys`` or ``admin``, unlike the probes beside it. Answers with a
secret in them are not to be kept by anybody on the way. ``/onlineEndpoints/<name>/…`` is the same as
``/endpoints/<name>/…``, and paths are taken in both of the spellings that Azure's documents have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from aiohttp import web

from gateway.control.admin_answer import StatusOf, caller_of, json_answer, refusal
from gateway.control.admin_body import BodyLate, read_body
from gateway.control.admin_operation import Handler, Operation
from gateway.core.access import Caller, Role
from gateway.core.errors import GatewayError, InvalidInput

__all__ = ["KEY_OPERATIONS", "KeyDesk", "key_routes"]

T = TypeVar("T", bound=msgspec.Struct)

_SLOTS: dict[str, Literal["primary", "secondary"]] = {"primary": "primary", "secondary": "secondary"}
_BODY_BYTES = 64 * 1024


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


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key with a name of its own; for all endpoints where none is named."""

    name: str
    roles: list[Role] = msgspec.field(default_factory=lambda: [Role.SCORE])
    endpoints: list[str] | None = None
    expires_in_s: int | None = None


class RegenerateKeys(msgspec.Struct, frozen=True, kw_only=True):
    """``Primary`` or ``Secondary``."""

    keyType: str  # noqa: N815  # Azure's
    keyValue: str | None = None  # noqa: N815


def _of_endpoints() -> Iterator[Operation]:
    """Azure ML's, in all of its spellings; what comes after ``_`` in a name tells them apart."""
    for number, base in enumerate(("/endpoints/{endpoint}", "/onlineEndpoints/{endpoint}")):
        for spelling, (listing, regenerating) in enumerate(
            (("listKeys", "regenerateKeys"), ("listkeys", "regeneratekeys"))
        ):
            other = f"_{number}{spelling}" if number or spelling else ""
            yield Operation(
                name=f"listKeys{other}",
                method="POST",
                path=f"{base}/{listing}",
                summary="The names of the endpoint's two keys; a key itself is shown once, when it is made",
                role=Role.KEYS,
                answer=dict[str, Any],
                errors=(400, 404, 503),
            )
            yield Operation(
                name=f"regenerateKeys{other}",
                method="POST",
                path=f"{base}/{regenerating}",
                summary="One of the endpoint's two keys anew",
                role=Role.KEYS,
                body=RegenerateKeys,
                answer=dict[str, Any],
                errors=(400, 404, 503),
            )
        yield Operation(
            name=f"token_{number}" if number else "token",
            method="POST",
            path=f"{base}/token",
            summary="A token with which the endpoint can be scored",
            role=Role.KEYS,
            answer=dict[str, Any],
            errors=(400, 404, 503),
        )


KEY_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="listAllKeys",
        method="GET",
        path="/keys",
        summary="Every key that the caller may manage",
        role=Role.KEYS,
        answer=dict[str, Any],
        errors=(503,),
    ),
    Operation(
        name="createKey",
        method="POST",
        path="/keys",
        summary="Make a key; the answer is the only time that it is seen",
        role=Role.KEYS,
        body=NewKey,
        answer=dict[str, Any],
        statuses={201: "Made"},
        errors=(400, 404, 503),
    ),
    Operation(
        name="revokeKey",
        method="DELETE",
        path="/keys/{name}",
        summary="End a key",
        role=Role.KEYS,
        statuses={204: "Ended"},
        errors=(404, 503),
    ),
    *_of_endpoints(),
)


def key_routes(desk: KeyDesk, status_of: StatusOf) -> list[web.RouteDef]:
    """The routes, for ``serve_admin``."""

    async def keys(request: web.Request) -> web.Response:
        return json_answer({"keys": await desk.keys(caller_of(request))})

    async def create(request: web.Request) -> web.Response:
        wanted = await _body(request, NewKey)
        made = await desk.create(caller_of(request), wanted.name, wanted.roles, wanted.endpoints, wanted.expires_in_s)
        return json_answer(made, 201)

    async def revoke(request: web.Request) -> web.Response:
        await desk.revoke(caller_of(request), request.match_info["name"])
        return web.Response(status=204)

    async def list_keys(request: web.Request) -> web.Response:
        return json_answer(await desk.endpoint_keys(caller_of(request), request.match_info["endpoint"]))

    async def regenerate(request: web.Request) -> web.Response:
        wanted = await _body(request, RegenerateKeys)
        slot = _SLOTS.get(wanted.keyType.lower())
        if slot is None:
            raise InvalidInput("keyType: expected Primary or Secondary")
        if wanted.keyValue is not None:
            raise InvalidInput("keyValue: expected null: keys are made here")
        made = await desk.regenerate(caller_of(request), request.match_info["endpoint"], slot)
        return json_answer(made)

    async def token(request: web.Request) -> web.Response:
        return json_answer(await desk.token(caller_of(request), request.match_info["endpoint"]))

    handlers: dict[str, Handler] = {
        "listAllKeys": keys,
        "createKey": create,
        "revokeKey": revoke,
        "listKeys": list_keys,
        "regenerateKeys": regenerate,
        "token": token,
    }
    return [
        operation.route(_fenced(desk, handlers[operation.name.partition("_")[0]], status_of))
        for operation in KEY_OPERATIONS
    ]


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
    try:
        return await read_body(request, kind, _BODY_BYTES)
    except BodyLate:
        raise
    except InvalidInput:
        # The complaint may quote what was sent, and that may be a key in the wrong place.
        fields = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise InvalidInput(f"expected a JSON object of {fields}") from None
