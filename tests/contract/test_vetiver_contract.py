"""vetiver over a real socket: no content type goes in, a data frame comes out."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.core.errors import InvalidInput
from gateway.core.payload import Records
from tests.support.edge_app import Edge, serving
from tests.support.edge_service import FakeCore

pytestmark = pytest.mark.usefixtures("http_engine")

ROW = {"carat": 0.23, "cut": "Ideal"}


async def exchange(edge: Edge, method: str, path: str, body: bytes = b"") -> tuple[int, object]:
    """As httr sends it: a body without a content type."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest)


async def test_a_body_without_a_content_type_is_read_as_json() -> None:
    core = FakeCore()
    async with serving(core) as edge:
        await exchange(edge, "POST", "/predict", json.dumps([ROW]).encode())

    assert core.payloads == [Records([ROW])]


async def test_the_reply_is_a_data_frame_with_unboxed_values() -> None:
    async with serving(FakeCore()) as edge:
        answer = await exchange(edge, "POST", "/predict", json.dumps([ROW]).encode())

    assert answer == (200, [{".pred": 326.0}])


async def test_an_error_says_why_in_message() -> None:
    async with serving(FakeCore(error=InvalidInput("no such cut"))) as edge:
        answer = await exchange(edge, "POST", "/predict", json.dumps([ROW]).encode())

    assert answer == (400, {"error": "400 - BadRequest", "message": "no such cut"})


async def test_ping_is_online() -> None:
    async with serving(FakeCore(is_open=False)) as edge:
        answer = await exchange(edge, "GET", "/ping")

    assert answer == (200, {"status": "online", "time": "2026-01-02T03:04:05+00:00"})
