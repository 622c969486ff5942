"""Bodies that arrive bit by bit are held for callers nobody knows yet: all of them together have a limit."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.edge.config import EdgeConfig
from tests.support.edge_app import serving
from tests.support.edge_service import FakeCore
from tests.support.http_wire import BODY, connected, post

pytestmark = pytest.mark.usefixtures("http_engine")

CONFIG = EdgeConfig(host="127.0.0.1", http_port=0, max_body_bytes=100_000, max_in_flight_bytes=290_000)
PART = 60_000
LARGE = BODY + b" " * (99_000 - len(BODY))


async def test_what_goes_beyond_the_limit_is_refused_and_the_rest_is_answered() -> None:
    async with asyncio.timeout(20), serving(FakeCore(), config=CONFIG) as edge, AsyncExitStack() as open_:
        wires = [await open_.enter_async_context(connected(edge)) for _ in range(8)]
        request = post(LARGE)
        for wire in wires:
            wire.send(request[:PART])
        answers = [asyncio.ensure_future(wire.answer()) for wire in wires]
        refused: set[int] = set()
        while len(refused) < 4:  # four parts fit
            await asyncio.wait(
                [answer for i, answer in enumerate(answers) if i not in refused], return_when="FIRST_COMPLETED"
            )
            refused = {i for i, answer in enumerate(answers) if answer.done()}
        statuses = []
        for i, wire in enumerate(wires):
            if i not in refused:
                wire.send(request[PART:])
            statuses.append((await answers[i])[0])

        assert sorted(statuses) == [200] * 4 + [429] * 4
        assert edge.server.held == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["finished", "left"])
async def test_what_is_not_held_any_more_is_not_counted(end: str) -> None:
    async with asyncio.timeout(20), serving(FakeCore(), config=CONFIG) as edge:
        for _ in range(10):
            async with connected(edge) as wire:
                wire.send(post(LARGE)[:PART])
                if end == "finished":
                    wire.send(post(LARGE)[PART:])
                    assert (await wire.answer())[0] == 200
        async with connected(edge) as wire:
            while edge.server.held:  # type: ignore[attr-defined]  # until the server has seen the last one leave
                wire.send(post())
                await wire.answer()
            wire.send(post(LARGE))

            assert (await wire.answer())[0] == 200


async def test_a_body_that_comes_whole_is_admissions_business() -> None:
    config = EdgeConfig(host="127.0.0.1", http_port=0, max_in_flight_bytes=1)
    async with serving(FakeCore(), config=config) as edge, connected(edge) as wire:
        wire.send(post())

        assert (await wire.answer())[0] == 200
