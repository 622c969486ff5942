"""
The OpenAPI 3.1 document of the admin API, and a first page that says where things are.

Both are made from the operations that the routes are made from, and from the classes that bodies are read into. They
tell nothing of what is served, so they are for everybody who can reach the port.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from gateway.control.admin_answer import json_answer
from gateway.control.admin_operation import Operation

__all__ = ["describing_routes", "openapi"]

_PARAMETER = re.compile(r"\{(\w+)\}")
_KEY = "key"

DESCRIBING: tuple[Operation, ...] = (
    Operation(name="index", method="GET", path="/", summary="Where things are", answer=dict[str, str]),
    Operation(name="openapi", method="GET", path="/openapi.json", summary="This document", answer=dict[str, Any]),
)


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Every refusal."""

    error: ErrorBody


def describing_routes(version: str, operations: Iterable[Operation]) -> list[web.RouteDef]:
    """``GET /openapi.json`` and ``GET /``, for ``serve_admin``; ``version`` is the product's."""
    every = [*operations, *DESCRIBING]
    document = openapi(version, every)
    index = {f"{each.method} {each.path}": each.summary for each in every}

    async def first(_: web.Request) -> web.Response:
        return json_answer(index)

    async def whole(_: web.Request) -> web.Response:
        return json_answer(document)

    return [operation.route(handler) for operation, handler in zip(DESCRIBING, (first, whole), strict=True)]


def openapi(version: str, operations: Sequence[Operation]) -> dict[str, Any]:
    """The document."""
    types = [kind for each in operations for kind in (each.body, each.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, ErrorAnswer], schema_hook=_schema_of, ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(map(id, types), schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schema_of, schemas[-1])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lockgate admin API",
            "version": version,
            "description": "Endpoints, traffic, keys and workers of one server. On loopback only.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer", "description": "A key, or a token"}},
        },
    }


def _operation(each: Operation, schema_of: Mapping[int, Any], error: Any) -> dict[str, Any]:
    def content(kind: Any, media_type: str) -> dict[str, Any]:
        return {media_type: {"schema": schema_of[id(kind)]}}

    responses: dict[str, Any] = {}
    for status, description in each.statuses.items():
        response: dict[str, Any] = {"description": description}
        responses[str(status)] = response
        if each.answer is not None:
            response["content"] = content(each.answer, each.media_type)
        if each.is_versioned:
            response["headers"] = {"ETag": {"description": "The version", "schema": {"type": "string"}}}
    if each.role is not None:
        for status in sorted({*each.errors, 401, 403}):
            responses[str(status)] = {
                "description": HTTPStatus(status).phrase,
                "content": {"application/json": {"schema": error}},
            }
    found: dict[str, Any] = {"operationId": each.name, "summary": each.summary, "responses": responses}
    if parameters := _parameters(each):
        found["parameters"] = parameters
    if each.body is not None:
        found["requestBody"] = {"required": True, "content": content(each.body, "application/json")}
    if each.role is not None:
        found["security"] = [{_KEY: []}]
        found["description"] = f"Takes the role `{each.role}`."
    return found


def _parameters(each: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(each.path)
    ]
    found += [
        {
            "name": name,
            "in": "query",
            "description": text,
            "schema": {"type": "boolean" if text.startswith("true") else "integer"},
        }
        for name, text in each.query.items()
    ]
    if each.precondition != "none":
        found.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": each.precondition == "required",
                "description": 'The version that was seen, such as "7", or * for whatever is newest',
                "schema": {"type": "string"},
            }
        )
    return found


def _schema_of(kind: type) -> dict[str, Any]:
    """Of what msgspec has no schema for: paths."""
    return {"type": "string"} if kind.__name__ == "Path" else {}
