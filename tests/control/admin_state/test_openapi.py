"""The OpenAPI document of the admin API is valid, and names the routes that are served: no more and no fewer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema_rs
import pytest
import schemathesis
from aiohttp import web

from gateway.control.admin_api import PROBE_OPERATIONS
from gateway.control.admin_comparison import comparison_routes
from gateway.control.admin_keys import key_routes
from gateway.control.admin_openapi import DESCRIBING, describing_routes, openapi
from gateway.control.admin_operation import Operation
from gateway.control.admin_state import state_routes
from gateway.edge.plain_status import plain_status
from tests.support.admin_state import OPERATIONS, serving_state


def served_routes() -> set[tuple[str, str]]:
    """Of the lists that make up the API; nothing behind them is asked."""
    nobody: Any = Mock()
    routes: Iterable[web.RouteDef] = [
        *key_routes(nobody, plain_status),
        *state_routes(nobody, plain_status, readiness=nobody, workers=nobody),
        *comparison_routes(nobody, nobody, nobody, nobody, plain_status),
        *describing_routes("1", OPERATIONS),
    ]
    return {(route.method, route.path) for route in routes} | {(each.method, each.path) for each in PROBE_OPERATIONS}


def described_routes(document: Any) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}


async def test_the_served_document_is_valid_openapi_and_needs_no_key(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        reply = await admin.ask("GET", "/openapi.json", key=None)

    schemathesis.openapi.from_dict(reply.json).validate()
    assert reply.json["info"]["version"] == "1.2.3"
    assert described_routes(reply.json) == served_routes()


def test_a_document_that_is_not_valid_would_be_noticed() -> None:
    document = openapi("1", OPERATIONS)
    document["paths"]["/state"]["get"]["responses"] = []

    with pytest.raises(Exception, match=r"not of type|valid"):
        schemathesis.openapi.from_dict(document).validate()


async def test_every_described_path_is_answered_by_a_route(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        for operation in OPERATIONS:
            if operation.path.endswith(("/comparison", "/comparison/state")):  # needs gateways
                continue
            path = operation.path.format(endpoint="price", name="blue", version="1")
            reply = await admin.ask(operation.method, path, key=None)
            wanted = {401} if operation.role else {200}

            assert {reply.status} == wanted, operation.path


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation.name for operation in [*OPERATIONS, *DESCRIBING]]

    assert len(names) == len(set(names))


async def test_what_is_answered_is_what_the_document_says(tmp_path: Path) -> None:
    document = openapi("1", OPERATIONS)
    async with serving_state(tmp_path) as admin:
        for operation in OPERATIONS:
            is_asked = operation.method == "GET" and operation.media_type == "application/json"
            if not is_asked or "comparison" in operation.path:
                continue
            reply = await admin.ask("GET", operation.path.format(endpoint="price", name="blue", version="1"))

            assert conforms(document, operation, reply.json), operation.path
        changed = await admin.ask("PUT", "/endpoints/price/traffic", {"blue": 100})
        (operation,) = [each for each in OPERATIONS if each.name == "setTraffic"]

        assert conforms(document, operation, changed.json)
        assert not conforms(document, operation, {**changed.json, "version": "2"})


def conforms(document: Any, operation: Operation, answer: Any) -> bool:
    responses = document["paths"][operation.path][operation.method.lower()]["responses"]
    first = next(iter(responses.values()))
    schema = first["content"]["application/json"]["schema"]
    whole = {**schema, "components": document["components"]}
    return jsonschema_rs.is_valid(whole, answer)


async def test_the_first_page_lists_every_route(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        index = (await admin.ask("GET", "/", key=None)).json
        async with admin.session.head("/") as response:
            status = response.status

        assert {tuple(route.split(" ")) for route in index} == served_routes()
        assert status == 200
