"""What is wrong with the body of a request to the admin API is told by the keys that lead to it, and by no value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.control.admin_body import read_body
from gateway.core.errors import InvalidInput


class Body(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    endpoints: dict[str, dict[str, int]] = {}


async def refusal(body: bytes) -> str:
    async def handle(request: web.Request) -> web.Response:
        try:
            await read_body(request, Body, 1 << 20)
        except InvalidInput as error:
            return web.Response(text=str(error))
        return web.Response(text="")

    app = web.Application()
    app.router.add_put("/", handle)
    async with TestClient(TestServer(app)) as client, client.put("/", data=body) as answer:
        return await answer.text()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"version": "secret"}', "version: expected a whole number, got text"),
        (b'{"version": 1, "endpoints": {"a": {}, "b": "secret"}}', "endpoints.b: expected a mapping, got text"),
        (
            b'{"version": 1, "endpoints": {"a": {"b": {"c": 1}}}}',
            "endpoints.a.b: expected a whole number, got a mapping",
        ),
        (b"[]", "the body: expected a mapping, got a list"),
        (b"{}", "the body: Object missing required field `version`"),
        (b"{secret", "the body: expected a JSON object, this is not JSON"),
    ],
)
async def test_the_field_is_named(body: bytes, told: str) -> None:
    assert await refusal(body) == told


async def test_a_long_name_is_told_in_part() -> None:
    name = "n" * 1000
    body: dict[str, Any] = {"version": 1, "endpoints": {name: 1}}

    assert await refusal(msgspec.json.encode(body)) == f"endpoints.{name[:64]}: expected a mapping, got a whole number"


async def test_in_a_large_body_nobody_looks_for_the_name() -> None:
    many: dict[str, Any] = {f"endpoint-{n}": {} for n in range(10_000)}
    body = {"version": 1, "endpoints": {**many, "last": 1}}

    assert await refusal(msgspec.json.encode(body)) == "the body: Expected `object`, got `int` - at `$.endpoints[...]`"
