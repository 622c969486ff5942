from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.fleet import Fleet
from gateway.control.admin_api import Readiness, serve_admin
from workers.child import ChildState


class Gateway:
    def __init__(self, *, is_ready: bool = True, reason: str = "", ends: str = "") -> None:
        self.is_ready, self.reason = is_ready, reason
        self._extra = {"certificate": {"not_after": ends}} if ends else {}

    async def readiness(self) -> Readiness:
        state = {"ready": self.is_ready, "weight": 100, "reason": self.reason}
        return Readiness(self.is_ready, {"endpoints": {"price": {"blue": state}}, **self._extra})

    async def metrics(self) -> bytes:
        return b"# TYPE a counter\na_total 1\n"


class Gateways:
    """Real admin APIs on Unix sockets."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.sockets: dict[str, Path] = {}

    async def add(self, gateway: Gateway | None, example: Any = None) -> None:
        """None: one that is not running."""
        path = self._folder / f"{len(self.sockets)}.sock"
        self.sockets[str(len(self.sockets))] = path

        async def examples() -> Any:
            return example or {}

        if gateway is not None:
            await self._stack.enter_async_context(serve_admin(gateway, path=path, extra={"/examples": examples}))

    def fleet(self, *states: ChildState) -> Fleet:
        return Fleet(self.sockets, lambda: states)


@pytest.fixture
async def gateways(tmp_path: Path) -> AsyncIterator[Gateways]:
    async with AsyncExitStack() as stack:
        yield Gateways(tmp_path, stack)


def group(phase: Any = "ready", reason: str = "") -> ChildState:
    return ChildState(name="price/blue", parts=("price/blue/0",), phase=phase, reason=reason, restarts=2)


async def test_it_is_ready_when_every_gateway_is(gateways: Gateways) -> None:
    for _ in range(2):
        await gateways.add(Gateway())
    readiness = await gateways.fleet(group()).readiness()

    assert readiness.is_ready
    assert readiness.details["gateways"] == {"0": True, "1": True}


async def test_a_gateway_that_does_not_answer_makes_it_not_ready(gateways: Gateways) -> None:
    await gateways.add(Gateway())
    await gateways.add(None)
    readiness = await gateways.fleet(group()).readiness()

    assert not readiness.is_ready
    assert readiness.details["gateways"] == {"0": True, "1": False}


async def test_the_certificate_that_ends_first_is_told(gateways: Gateways) -> None:
    for ends in ("2027-01-01", "2026-12-01", ""):
        await gateways.add(Gateway(ends=ends))
    readiness = await gateways.fleet(group()).readiness()

    assert readiness.details["certificate"] == {"not_after": "2026-12-01"}


async def test_a_deployment_is_as_ready_as_its_worst_gateway_says(gateways: Gateways) -> None:
    await gateways.add(Gateway())
    await gateways.add(Gateway(is_ready=False, reason="no worker"))
    readiness = await gateways.fleet(group()).readiness()

    assert readiness.details["endpoints"]["price"]["blue"]["reason"] == "no worker"


async def test_why_a_model_did_not_load_is_told_where_its_deployment_is(gateways: Gateways) -> None:
    await gateways.add(Gateway(is_ready=False, reason="no worker"))
    readiness = await gateways.fleet(group("failed", "expected signature.json")).readiness()

    assert readiness.details["endpoints"]["price"]["blue"]["reason"] == "expected signature.json"


async def test_metrics_of_gateways_and_of_processes_come_together(gateways: Gateways) -> None:
    await gateways.add(Gateway())
    await gateways.add(None)
    text = (await gateways.fleet(group()).metrics()).decode()

    assert 'a_total{gateway="0"} 1.0' in text
    assert 'lockgate_process_up{process="price/blue"} 1.0' in text
    assert 'lockgate_process_restarts_total{process="price/blue"} 2.0' in text


async def test_examples_come_from_whichever_gateway_has_them(gateways: Gateways) -> None:
    await gateways.add(None)
    await gateways.add(Gateway(), example={"price": {"columns": ["x"], "row": [1]}})

    assert await gateways.fleet().examples() == {"price": {"columns": ["x"], "row": [1]}}


async def test_which_version_serves_is_told_but_not_who_wanted_it(gateways: Gateways) -> None:
    await gateways.add(Gateway())
    state = {"desired": {"version": 3, "by": "ada", "what": "traffic"}, "running": 2, "gateways": {"0": 2}}
    readiness = await Fleet(gateways.sockets, list, lambda: state).readiness()

    assert readiness.details["state"] == {"running": 2, "gateways": {"0": 2}, "wanted": 3}
