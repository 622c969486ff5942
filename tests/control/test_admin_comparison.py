"""Who is shown the inputs of rows in a comparison: nobody who may not change the endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.control.admin_comparison import comparison_routes
from gateway.core.access import Caller, Grant, Principal, Role
from gateway.edge.plain_status import plain_status

EVERYTHING, PARTLY = {"inputs": "of somebody"}, {"inputs": None}


async def answered(path: str, *grants: Grant) -> Any:
    """What a caller with those grants is told of ``price``."""

    async def access(caller: Caller, endpoint: str | None, role: Role) -> Principal:
        principal = Principal("p", grants)
        assert principal.may(role, endpoint)
        return principal

    async def state(_: str, __: str | None) -> Any:
        return EVERYTHING

    app = web.Application()
    app.add_routes(comparison_routes(access, state, lambda value: value, lambda _: PARTLY, plain_status))
    async with TestClient(TestServer(app)) as client, client.get(f"/endpoints/price/comparison{path}") as response:
        return await response.json()


@pytest.mark.parametrize("path", ["", "/state"])
@pytest.mark.parametrize("role", [Role.SCORE, Role.READ, Role.KEYS])
async def test_who_may_not_change_an_endpoint_is_told_no_inputs(role: Role, path: str) -> None:
    told = await answered(path, Grant(frozenset({role})))

    assert told == PARTLY


@pytest.mark.parametrize("path", ["", "/state"])
@pytest.mark.parametrize("role", [Role.DEPLOY, Role.ADMIN])
async def test_who_may_change_it_is_told_everything(role: Role, path: str) -> None:
    told = await answered(path, Grant(frozenset({role}), frozenset({"price"})))

    assert told == EVERYTHING


async def test_who_may_change_another_endpoint_is_told_no_inputs_of_this_one() -> None:
    told = await answered("", Grant(frozenset({Role.READ})), Grant(frozenset({Role.DEPLOY}), frozenset({"tumor"})))

    assert told == PARTLY
