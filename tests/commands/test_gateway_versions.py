"""When gateways are asked for the version that they run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.commands.gateway_versions import GatewayVersions
from gateway.control.admin_served import ServedState
from workers.child import ChildState


class Calls:
    """One gateway that answers at once; ``looks`` counts how often it was asked."""

    gateways = ("0",)

    def __init__(self) -> None:
        self.looks = 0

    async def states(self) -> dict[str, ServedState | None]:
        self.looks += 1
        return {"0": ServedState(version=1)}


class Followed:
    """The versions, and the process that they are of."""

    def __init__(self) -> None:
        self.calls, self.state = Calls(), ChildState(name="gateway/0", phase="ready", pid=7)
        children: Any = {"0": SimpleNamespace(state=self.state)}
        self.versions = GatewayVersions(cast(Any, self.calls), lambda: children, committed=1, clock=lambda: 0.0)

    async def looks_after_a_note(self) -> int:
        before = self.calls.looks
        self.versions.note()
        for _ in range(10):  # more turns of the event loop than a look takes
            await asyncio.sleep(0)
        return self.calls.looks - before


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    followed = Followed()
    following = asyncio.create_task(followed.versions.run())
    await followed.looks_after_a_note()
    yield followed
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_a_gateway_that_is_as_it_was_is_not_asked_when_another_process_changes(followed: Followed) -> None:
    assert await followed.looks_after_a_note() == 0


async def test_a_gateway_whose_process_is_another_one_is_asked(followed: Followed) -> None:
    followed.state.pid = 8

    assert await followed.looks_after_a_note() == 1


async def test_a_gateway_that_is_ready_again_is_asked_each_time(followed: Followed) -> None:
    followed.state.phase = "loading"
    gone = await followed.looks_after_a_note()
    unknown = followed.versions.known["0"]
    followed.state.phase = "ready"
    back = await followed.looks_after_a_note()

    assert (gone, unknown, back, followed.versions.known["0"]) == (1, None, 1, 1)
