"""What a supervisor says of failed loads reaches its gateway, over a real Unix socket."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from gateway.control.admin_api import Readiness, serve_admin
from gateway.control.admin_failed import failed_routes
from gateway.edge.plain_status import plain_status


class Nothing:
    async def readiness(self) -> Readiness:
        return Readiness(True, {})

    async def metrics(self) -> bytes:
        return b""


async def put(folder: Path, body: object) -> tuple[int, list[tuple[str, str]]]:
    """The status, and what was noted."""
    path, noted = folder / "a.sock", list[tuple[str, str]]()
    async with (
        serve_admin(Nothing(), path=path, routes=failed_routes(noted.extend, plain_status)),
        aiohttp.ClientSession("http://gateway", connector=aiohttp.UnixConnector(str(path))) as session,
        session.put("/failed", json=body) as answer,
    ):
        return answer.status, noted


async def test_every_deployment_that_failed_is_noted_with_its_endpoint(tmp_path: Path) -> None:
    status, noted = await put(tmp_path, {"deployments": {"e": ["blue", "green"], "f": ["blue"]}})

    assert (status, noted) == (200, [("e", "blue"), ("e", "green"), ("f", "blue")])


@pytest.mark.parametrize("body", [{"deployments": {"e": "blue"}}, {}, []])
async def test_what_names_no_deployments_is_refused(tmp_path: Path, body: object) -> None:
    assert await put(tmp_path, body) == (400, [])
