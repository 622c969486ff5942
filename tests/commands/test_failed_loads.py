"""When gateways are told which models could not be loaded, and when they are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.commands.failed_loads import FailedTold
from gateway.commands.gateway_calls import GatewaySilent
from gateway.control.admin_failed import FailedLoads
from workers.child import ChildState

BLUE = {"price": ["blue"]}


class Machine:
    """One gateway and two groups; ``told`` is what the gateway heard."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.is_silent = False
        self.gateway = ChildState(name="gateway/0", phase="ready", pid=7)
        self.blue, self.green = (ChildState(name=f"price/{each}", phase="loading") for each in ("blue", "green"))
        children: Any = {"0": SimpleNamespace(state=self.gateway)}
        self.failed_told = FailedTold(
            cast(Any, self), lambda: [self.blue, self.green], lambda: children, pause=self._pause
        )

    async def failed(self, _: str, failed: FailedLoads) -> None:
        self.told.append("silent" if self.is_silent else failed.deployments)
        if self.is_silent:
            raise GatewaySilent("it does not answer")

    async def after_a_note(self) -> list[Any]:
        self.told.clear()
        self.failed_told.note()
        for _ in range(10):  # more turns of the event loop than telling takes
            await asyncio.sleep(0)
        return list(self.told)

    async def _pause(self, _: float) -> None:
        self.is_silent = False
        await asyncio.sleep(0)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    machine = Machine()
    running = asyncio.create_task(machine.failed_told.run())
    yield machine
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_gateway_is_told_nothing_while_nothing_has_failed(machine: Machine) -> None:
    assert await machine.after_a_note() == []


async def test_a_load_that_failed_is_told_once(machine: Machine) -> None:
    machine.blue.phase = "failed"

    assert [await machine.after_a_note() for _ in range(2)] == [[BLUE], []]


async def test_another_try_at_loading_is_no_news(machine: Machine) -> None:
    machine.blue.phase = "failed"
    await machine.after_a_note()
    machine.blue.phase = "loading"

    assert await machine.after_a_note() == []


async def test_a_model_that_is_ready_has_not_failed_any_more(machine: Machine) -> None:
    machine.blue.phase = machine.green.phase = "failed"
    both = await machine.after_a_note()
    machine.green.phase = "ready"
    one = await machine.after_a_note()
    machine.blue.phase = "ready"
    none = await machine.after_a_note()

    assert [both, one, none] == [[{"price": ["blue", "green"]}], [BLUE], [{}]]


async def test_a_gateway_that_was_started_anew_is_told_when_it_is_ready(machine: Machine) -> None:
    machine.blue.phase = "failed"
    await machine.after_a_note()
    machine.gateway.phase, machine.gateway.pid = "starting", 8
    starting = await machine.after_a_note()
    machine.gateway.phase = "ready"

    assert [starting, await machine.after_a_note()] == [[], [BLUE]]


async def test_a_gateway_that_does_not_answer_is_told_again(machine: Machine) -> None:
    machine.blue.phase, machine.is_silent = "failed", True

    assert await machine.after_a_note() == ["silent", BLUE]
