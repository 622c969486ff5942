"""Admission counts what is in flight, and forgets it however the request ends."""

from __future__ import annotations

import asyncio
from copy import copy

import pytest

from gateway.core.errors import ModelFailed, Overloaded
from gateway.core.payload import Records
from gateway.core.request import Received
from gateway.edge.admission import Admit
from tests.support.edge_service import FakeCore

REQUEST = Received(None, None, None, None, lambda: Records([]), "rest", "", size=10)


async def test_one_more_than_the_limit_is_refused_at_once() -> None:
    core = FakeCore(held=asyncio.Event())
    admit = Admit(core, max_in_flight=1, max_bytes=100)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(admit(REQUEST))
        await core.started.wait()
        with pytest.raises(Overloaded, match="1 requests"):
            await admit(REQUEST)
        assert core.held is not None
        core.held.set()


async def test_bodies_over_the_limit_together_are_refused() -> None:
    core = FakeCore(held=asyncio.Event())
    admit = Admit(core, max_in_flight=9, max_bytes=19)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(admit(REQUEST))
        await core.started.wait()
        with pytest.raises(Overloaded, match="10 bytes"):
            await admit(REQUEST)
        assert core.held is not None
        core.held.set()


async def test_a_large_body_is_let_in_alone() -> None:
    admit = Admit(FakeCore(), max_in_flight=9, max_bytes=5)

    assert (await admit(REQUEST)).rows.count == 1


async def test_a_failed_request_gives_its_place_back() -> None:
    admit = Admit(FakeCore(error=ModelFailed("stop()")), max_in_flight=1, max_bytes=100)
    with pytest.raises(ModelFailed):
        await admit(REQUEST)

    assert (admit.in_flight, admit.bytes_in_flight) == (0, 0)


async def test_a_cancelled_request_gives_its_place_back() -> None:
    core = FakeCore(held=asyncio.Event())
    admit = Admit(core, max_in_flight=1, max_bytes=100)
    async with asyncio.timeout(5):
        task = asyncio.create_task(admit(copy(REQUEST)))
        await core.started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert (admit.in_flight, admit.bytes_in_flight) == (0, 0)
