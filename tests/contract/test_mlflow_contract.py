"""MLflow's scoring server over a real socket: body forms, content types, the wrapper and the error shape."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.core.errors import DeadlineExceeded, GatewayError, InvalidInput, NotReady
from gateway.core.payload import Table
from tests.support.edge_app import Edge, serving
from tests.support.edge_service import FakeCore

pytestmark = pytest.mark.usefixtures("http_engine")

ROW = {"carat": 0.23, "cut": "Ideal"}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as made:
        yield made


def url(edge: Edge, path: str = "/invocations") -> str:
    return f"http://127.0.0.1:{edge.port}{path}"


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["carat", "cut"], "data": [[0.23, "Ideal"]]}},
        {"dataframe_records": [ROW]},
        {"instances": [[0.23, "Ideal"]]},
        {"instances": [ROW]},
        {"inputs": {"carat": [0.23], "cut": ["Ideal"]}},
    ],
)
async def test_every_form_is_answered_in_the_wrapper(body: Any, session: aiohttp.ClientSession) -> None:
    async with serving(FakeCore()) as edge:
        response = await session.post(url(edge), json=body)

        assert (response.status, await response.json()) == (200, {"predictions": [326.0]})


@pytest.mark.parametrize("content_type", ["text/csv", "text/csv; charset=utf-8", "Text/CSV"])
async def test_csv_is_read_as_text_cells(content_type: str, session: aiohttp.ClientSession) -> None:
    core = FakeCore()
    async with serving(core) as edge:
        await session.post(url(edge), data=b"carat,cut\n0.23,Ideal\n", headers={"Content-Type": content_type})

    assert core.payloads == [Table(["carat", "cut"], [["0.23", "Ideal"]], is_text=True)]


@pytest.mark.parametrize(
    "content_type",
    ["application/vnd.apache.parquet", "text/plain", "application/json; charset=latin-1", "application/json; q=1"],
)
async def test_other_types_are_unsupported(content_type: str, session: aiohttp.ClientSession) -> None:
    async with serving(FakeCore()) as edge:
        response = await session.post(url(edge), data=b"[]", headers={"Content-Type": content_type})

    assert response.status == 415


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("x"), 400, "BAD_REQUEST"),
        (NotReady("x"), 503, "TEMPORARILY_UNAVAILABLE"),
        (DeadlineExceeded("x"), 504, "DEADLINE_EXCEEDED"),
    ],
)
async def test_an_error_has_mlflows_two_keys(
    error: GatewayError, status: int, code: str, session: aiohttp.ClientSession
) -> None:
    async with serving(FakeCore(error=error)) as edge:
        response = await session.post(url(edge), json={"instances": [ROW]})

        assert (response.status, await response.json()) == (status, {"error_code": code, "message": "x"})


@pytest.mark.parametrize(("path", "text"), [("/health", "\n"), ("/version", "0.1.0")])
async def test_the_small_routes_answer_without_a_key(path: str, text: str, session: aiohttp.ClientSession) -> None:
    async with serving(FakeCore(is_open=False)) as edge:
        response = await session.get(url(edge, path))

        assert (response.status, await response.text()) == (200, text)


async def test_azures_key_is_not_read_here(session: aiohttp.ClientSession) -> None:
    async with serving(FakeCore()) as edge:
        response = await session.post(url(edge), json={"input_data": [ROW]})

    assert response.status == 400
