"""Five thousand calls held at once between every two libraries: each ends once, as meant, and nothing is left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

import h2grpc
from h2grpc.limits import Limits
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.h2grpc.interop.pair import PAIRS, channel_to
from tests.h2grpc.open_files import open_files
from tests.support.h2grpc_echo import EchoServicer, add_echo

COUNT = 5_000
STEP = 500
"""grpc.aio's server cancels calls when more than a thousand wait to be started."""
RpcErrors = (grpc.aio.AioRpcError, h2grpc.RpcError)


class Held:
    def __init__(self, channel: Any, server: Any, servicer: EchoServicer) -> None:
        self.channel, self.server, self.servicer = channel, server, servicer
        self.ends: Counter[int] = Counter()

    def unary(self, name: str) -> Any:
        return self.channel.unary_unary(f"/t.Echo/{name}")

    async def hold(self) -> list[Any]:
        """So many calls whose handlers wait."""
        wait, calls = self.unary("wait"), list[Any]()
        while len(calls) < COUNT:
            self.servicer.crowd = len(calls) + STEP
            self.servicer.is_crowded.clear()
            calls += [self._counted(len(calls) + at, wait) for at in range(STEP)]
            await self.servicer.is_crowded.wait()
        return calls

    def _counted(self, number: int, wait: Any) -> Any:
        call = wait(b"%d" % number)
        call.add_done_callback(lambda _: self.ends.update([number]))
        return call


@pytest.fixture(params=PAIRS, ids=lambda names: f"{names[0]}-client-{names[1]}-server")
async def held(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Held]:
    client, library = request.param
    address = f"unix:{tmp_path}/socket"
    tasks, files = asyncio.all_tasks(), open_files()
    async with AsyncExitStack() as stack:
        limits = Limits(resets=(10_000, 1_000))
        server: Any = grpc.aio.server() if library == "grpcio" else h2grpc.server(limits=limits)
        servicer = EchoServicer()
        add_echo(servicer, server)
        server.add_insecure_port(address)
        await server.start()
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(channel_to(client, address))
        yield Held(channel, server, servicer)
        counters = [end.counters["held_bytes"] for end in (channel, server) if hasattr(end, "counters")]
    assert set(counters) == {0}
    if "grpcio" not in request.param:  # it keeps a poller's task and its pipe
        assert {task for task in asyncio.all_tasks() - tasks if not task.done()} <= {asyncio.current_task()}
        assert open_files() <= files


async def code_of(call: Any) -> str:
    """Of a call that fails."""
    try:
        await call
    except RpcErrors as error:
        code: Any = error.code()
        return str(code.name)
    except asyncio.CancelledError:
        return "CANCELLED"
    return "OK"


async def test_all_are_answered(held: Held) -> None:
    calls = await held.hold()
    held.servicer.release.set()

    assert [int(answer) for answer in await asyncio.gather(*calls)] == list(range(COUNT))
    assert held.ends == Counter(range(COUNT))


@pytest.mark.parametrize("seed", [1, 2])
async def test_those_that_are_cancelled_among_them_touch_no_other(held: Held, seed: int) -> None:
    dice = random.Random(seed)
    calls = await held.hold()
    is_cancelled = [dice.random() < 0.5 for _ in calls]
    order = [call for call, is_it in zip(calls, is_cancelled, strict=True) if is_it]
    dice.shuffle(order)
    for call in order:
        call.cancel()
    lost = {await code_of(call) for call in order}
    held.servicer.release.set()
    answered = [int(await call) for call, is_it in zip(calls, is_cancelled, strict=True) if not is_it]
    await held.unary("echo")(b"behind everything that was cancelled")

    assert lost == {"CANCELLED"}
    assert answered == [number for number, is_it in enumerate(is_cancelled) if not is_it]
    assert held.ends == Counter(range(COUNT))
    assert held.servicer.running == 0


async def test_deadlines_among_them_are_kept_and_touch_no_other(held: Held) -> None:
    dice = random.Random(3)
    calls = await held.hold()
    wait = held.unary("wait")
    late = await asyncio.gather(
        *(code_of(wait(b"", timeout=dice.choice((0.0, 0.001, 0.05, 0.3)))) for _ in range(STEP))
    )
    held.servicer.release.set()

    assert set(late) == {"DEADLINE_EXCEEDED"}
    assert [int(answer) for answer in await asyncio.gather(*calls)] == list(range(COUNT))
