"""Calls that end in every way at once leave nothing behind: no call, task, byte, stream or file descriptor."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

import h2grpc
from h2grpc.limits import Limits
from tests.support.h2grpc_echo import EchoServicer, add_echo

CALLS = 600
AT_ONCE = 60


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Storm:
    """Random calls on one channel; what a call ends with is of no interest, only that it ends."""

    def __init__(self, channel: grpc.aio.Channel, chance: random.Random) -> None:
        self._channel, self._chance = channel, chance

    async def run(self) -> None:
        places = asyncio.Semaphore(AT_ONCE)
        deeds: list[Callable[[], Awaitable[None]]] = [
            self.answered, self.expired, self.cancelled, self.left_half_read, self.never_half_closed, self.refused
        ]  # fmt: skip

        async def one() -> None:
            async with places:
                try:
                    await self._chance.choice(deeds)()
                except (grpc.aio.AioRpcError, asyncio.CancelledError):
                    return

        async with asyncio.TaskGroup() as storm:
            for _ in range(CALLS):
                storm.create_task(one())

    def _unary(self, name: str) -> Any:
        return self._channel.unary_unary(f"/t.Echo/{name}")

    async def answered(self) -> None:
        size = self._chance.choice((0, 10, 1_000, 300_000))
        await self._unary("echo")(self._chance.randbytes(size))

    async def expired(self) -> None:
        await self._unary("wait")(b"", timeout=self._chance.choice((0.0, 0.001, 0.02)))

    async def cancelled(self) -> None:
        call = self._unary("wait")(bytes(self._chance.choice((0, 500_000))))
        await _turns(self._chance.randrange(60))
        call.cancel()

    async def left_half_read(self) -> None:
        pour: Any = self._channel.unary_stream(f"/t.Echo/{self._chance.choice(('pour', 'drip'))}")
        call = pour(b"20000")
        for _ in range(self._chance.randrange(5)):
            await call.read()
        call.cancel()

    async def never_half_closed(self) -> None:
        chat: Any = self._channel.stream_stream("/t.Echo/chat")
        call = chat()
        for _ in range(self._chance.randrange(1, 5)):
            await call.write(b"x" * self._chance.choice((1, 70_000)))
        await call.read()
        call.cancel()

    async def refused(self) -> None:
        await self._unary(self._chance.choice(("crash", "abort", "nothing", "set_code")))(b"x")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_storm_leaves_nothing_behind(seed: int) -> None:
    server, servicer = h2grpc.server(limits=Limits(resets=(10_000, 1_000))), EchoServicer()
    add_echo(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(60), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await Storm(channel, random.Random(seed)).run()
        last: Any = channel.unary_unary("/t.Echo/echo")
        while any(connection.contexts for connection in server.connections):
            await last(b"")  # what was cancelled is behind this one on the wire
        (connection,) = server.connections
        engine = connection.connection

        assert await last(b"after the storm") == b"after the storm"
        assert engine.calls == {}
        assert len(engine.deadlines) == 0
        assert engine.unsent_in_all == 0
        assert engine.receive_window > engine.limits.connection_window // 2
        assert server.counters["held_bytes"] == 0
        assert servicer.running == 0
    await server.stop(None)
    assert not server.connections


async def test_connections_that_come_and_go_leave_no_descriptor() -> None:
    server = h2grpc.server()
    add_echo(EchoServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    async with asyncio.timeout(60):
        for turn in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await reader.readexactly(9)
            if turn % 2:
                writer.transport.abort()
            else:
                writer.close()
                await reader.read()
    await server.stop(None)

    assert len(os.listdir("/proc/self/fd")) < before  # noqa: PTH208
