"""Servers and clients that are killed in the middle of everything, between every two libraries."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

import h2grpc
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.h2grpc.interop.pair import PAIRS
from tests.h2grpc.open_files import open_files
from tests.support.h2grpc_echo import EchoServicer, add_echo
from tests.support.h2grpc_process import OTHERS, apart, calls_of_all_kinds

CROWD = 200
RpcErrors = (grpc.aio.AioRpcError, h2grpc.RpcError)


@pytest.mark.parametrize(("client", "library"), PAIRS)
async def test_calls_of_a_server_that_is_killed_end_once_as_unavailable_and_the_next_one_is_found(
    tmp_path: Path, client: str, library: str
) -> None:
    socket, ends = tmp_path / "socket", Counter[int]()
    address = f"unix:{socket}"
    open_channel: Any = grpc.aio.insecure_channel if client == "grpcio" else h2grpc.insecure_channel
    async with open_channel(address) as channel:
        async with apart("serve", library, address, str(CROWD)) as server:
            await server.line()
            calls = await calls_of_all_kinds(channel, CROWD)
            for number, call in enumerate(calls):
                call.add_done_callback(lambda _, number=number: ends.update([number]))
            assert await server.line() == "crowded"
            await server.kill()
        codes = [(await call.code()).name for call in calls]
        os.unlink(socket)  # noqa: PTH108  # as whoever starts it again
        async with apart("serve", library, address, "0") as server:
            await server.line()
            echo: Any = channel.unary_unary("/t.Echo/echo")
            answer = await echo(b"again", wait_for_ready=True, timeout=30)
        held = channel.counters["held_bytes"] if client == "h2grpc" else 0

    # The one that was half closed had been answered.
    assert codes == ["UNAVAILABLE"] * (CROWD + OTHERS - 1) + ["OK"]
    assert ends == Counter(range(CROWD + OTHERS))
    assert answer == b"again"
    assert held == 0


@pytest.mark.parametrize("client", ["h2grpc", "grpcio"])
async def test_a_client_that_is_killed_leaves_nothing_at_our_server(client: str) -> None:
    server, servicer = h2grpc.server(), EchoServicer()
    servicer.crowd = CROWD
    add_echo(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    files, tasks = open_files(), asyncio.all_tasks()
    async with apart("call", client, f"127.0.0.1:{port}", str(CROWD)) as caller:
        assert await caller.line() == "calling"
        await servicer.is_crowded.wait()
        connection: Any = next(iter(server.connections))
        calls = len(connection.connection.calls)
        await caller.kill()
        await server.emptied.wait()
        ended = [context.task for context in connection.contexts if context.task is not None]
        await asyncio.gather(*ended, return_exceptions=True)

    assert calls > CROWD
    assert servicer.running == 0
    assert connection.connection.calls == {}
    assert len(connection.connection.deadlines) == 0
    assert server.counters["held_bytes"] == server.counters["connections"] == 0
    # All but the one that was half closed, and one that has no context in the servicer's list.
    assert sum(context.cancelled() for context in servicer.contexts) == CROWD + OTHERS - 2
    assert {task for task in asyncio.all_tasks() - tasks if not task.done()} <= {asyncio.current_task()}
    assert {name for name in open_files() - files if name.startswith("socket")} == set()
    await server.stop(None)


@pytest.mark.parametrize("turn", range(10))
async def test_a_server_of_grpcio_survives_our_client_being_killed(tmp_path: Path, turn: int) -> None:
    """Each time a few calls more, so that it dies elsewhere."""
    server, servicer = grpc.aio.server(), EchoServicer()
    servicer.crowd = 1 + 7 * turn
    add_echo(servicer, server)
    address = f"unix:{tmp_path}/socket"
    server.add_insecure_port(address)
    await server.start()
    async with apart("call", "h2grpc", address, str(servicer.crowd)) as caller:
        await servicer.is_crowded.wait()
        await caller.kill()
        await servicer.cancelled.wait()
    async with h2grpc.insecure_channel(address) as channel:
        echo: Any = channel.unary_unary("/t.Echo/echo")
        answer = await echo(b"still here")
    await server.stop(None)

    assert answer == b"still here"
