"""Calls that end in every way at once leave nothing behind: no call, task, byte, stream or file descriptor."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

import h2grpc
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.support.h2grpc_echo import EchoServicer, add_echo
from tests.support.h2grpc_soak import odd, soaking

OPERATIONS = 800


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_storm_of_faults_leaves_nothing_behind(seed: int) -> None:
    """What must hold after each round is asserted by the round."""
    async with soaking() as soak:
        dice = random.Random(seed)
        for _ in range(2):
            await soak.round(OPERATIONS, dice)

    assert odd(soak.outcomes) == []
    assert soak.outcomes.total() == 2 * OPERATIONS
    assert {name.partition(" ")[2] for name in soak.outcomes} >= {"OK", "CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE"}


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
