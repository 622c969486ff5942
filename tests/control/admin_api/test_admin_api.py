from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.control.admin_api import Readiness, serve_admin
from gateway.control.admin_openapi import describing_routes
from gateway.control.gateway_admin import GatewayAdmin
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.recorder import Recorder
from tests.support.requests import FixedCatalog, FixedStats


class Source:
    is_ready = True

    async def readiness(self) -> Readiness:
        return Readiness(self.is_ready, {"endpoints": {}})

    async def metrics(self) -> bytes:
        return b"a_total 1\n"


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_a_live_process_says_so() -> None:
    async with serve_admin(Source(), port=0) as port:
        assert await get(port, "/livez") == (200, "ok\n")


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
async def test_readiness_is_a_status_with_its_details(is_ready: bool, status: int) -> None:
    source = Source()
    source.is_ready = is_ready
    async with serve_admin(source, port=0) as port:
        got, body = await get(port, "/readyz")

    assert got == status
    assert f'"ready": {str(is_ready).lower()}' in body


async def test_metrics_are_in_the_text_format() -> None:
    async with serve_admin(Source(), port=0) as port:
        assert await get(port, "/metrics") == (200, "a_total 1\n")


async def test_a_path_that_is_not_there_is_told_in_the_form_of_all_errors() -> None:
    async with serve_admin(Source(), port=0) as port:
        status, body = await get(port, "/nothing")

    assert (status, json.loads(body)["error"]["code"]) == (404, "NotFound")


@pytest.mark.parametrize("has_list", [True, False])
async def test_the_list_of_paths_is_named_where_there_is_one(has_list: bool) -> None:
    routes = describing_routes("0", ()) if has_list else []
    async with serve_admin(Source(), port=0, routes=routes) as port:
        _, body = await get(port, "/nothing")

    assert ("GET / lists" in body) == has_list


async def test_a_method_that_is_not_there_is_told_with_those_that_are() -> None:
    async with (
        serve_admin(Source(), port=0) as port,
        aiohttp.ClientSession() as session,
        session.put(f"http://127.0.0.1:{port}/livez") as response,
    ):
        told = await response.json()

    assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
    assert told == {"error": {"code": "MethodNotAllowed", "message": "PUT: expected GET, HEAD"}}


async def test_it_listens_on_loopback_alone() -> None:
    async with serve_admin(Source(), port=0) as port:
        with socket.socket() as other, pytest.raises(OSError, match="refused"):
            other.connect(("127.0.0.2", port))


async def test_a_socket_left_over_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    for _ in range(2):
        left_over = socket.socket(socket.AF_UNIX)
        if not path.exists():
            left_over.bind(str(path))
        left_over.close()
        async with serve_admin(Source(), path=path):
            session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)))
            async with session, session.get("http://gateway/livez") as response:
                assert response.status == 200


async def test_the_supervisor_may_send_more_over_a_socket_than_anybody_over_the_port(tmp_path: Path) -> None:
    async def length(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    path, sent, routes = tmp_path / "s", b"x" * 1_000_000, [web.put("/all", length)]
    async with (
        serve_admin(Source(), path=path, routes=routes),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.put("http://here/all", data=io.BytesIO(sent)) as response,
    ):
        over_socket = await response.text()
    async with (
        serve_admin(Source(), port=0, routes=routes) as port,
        aiohttp.ClientSession() as session,
        session.put(f"http://127.0.0.1:{port}/all", data=io.BytesIO(sent)) as response,
    ):
        over_port = response.status

    assert (over_socket, over_port) == ("1000000", 413)


async def test_a_taken_port_is_an_error() -> None:
    async with serve_admin(Source(), port=0) as port:
        with pytest.raises(OSError, match="address already in use"):
            async with serve_admin(Source(), port=port):
                pass


async def test_a_gateway_tells_of_each_deployment() -> None:
    catalog = FixedCatalog("price", deployments=["blue"])
    metrics = GatewayMetrics(Recorder(catalog, lambda: 0.0), catalog, FixedStats())
    readiness = await GatewayAdmin(catalog, metrics, lambda: False, {}).readiness()
    expected: dict[str, Any] = {"endpoints": {"price": {"blue": {"ready": True, "weight": 0, "reason": ""}}}}

    assert (readiness.is_ready, readiness.details) == (False, expected)


async def test_a_gateway_tells_which_certificate_it_shows() -> None:
    catalog = FixedCatalog("price", deployments=["blue"])
    metrics = GatewayMetrics(Recorder(catalog, lambda: 0.0), catalog, FixedStats())
    readiness = await GatewayAdmin(
        catalog, metrics, lambda: True, {"certificate": lambda: {"days_left": 3.5}}
    ).readiness()

    assert readiness.details["certificate"] == {"days_left": 3.5}
