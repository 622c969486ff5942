"""
A server of echoes, or a caller of one, in a process of its own that a test may kill.

``serve LIBRARY ADDRESS CROWD`` prints its port, and ``crowded`` when so many calls wait. ``call LIBRARY TARGET CROWD``
makes so many calls that wait, a stream that is half closed, one that is not, one that nobody reads and half a message;
whoever serves them sees them come. Neither ends by itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

import h2grpc
from tests.support.h2grpc_echo import EchoServicer, add_echo
from tests.support.stack import ROOT

__all__ = ["OTHERS", "Apart", "apart", "calls_of_all_kinds"]

OTHERS = 4
"""Calls that are made besides those that wait."""
HALF = 1_000_000
"""Bytes of a message that is never sent whole, beyond every window."""


class Apart:
    """The process; ``line`` waits for what it prints next."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def kill(self) -> None:
        """At once: it can say nothing any more."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def apart(*arguments: str) -> AsyncIterator[Apart]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    running = Apart(process)
    try:
        yield running
    finally:
        await running.kill()


async def calls_of_all_kinds(channel: Any, count: int) -> list[Any]:
    """``count`` that wait, and ``OTHERS``. All have come to the server's handlers but for those that wait."""
    wait = channel.unary_unary("/t.Echo/wait")
    waiting = [wait(b"x") for _ in range(count)]
    half_closed = channel.stream_stream("/t.Echo/chat")()
    await half_closed.write(b"all I have to say")
    await half_closed.done_writing()
    talking = channel.stream_stream("/t.Echo/chat")()
    await talking.write(b"more to come")
    await talking.read()
    unread = channel.unary_stream("/t.Echo/pour")(b"10000")
    await unread.read()
    unheard = channel.stream_unary("/t.Echo/idle")()
    await unheard.write(bytes(10))
    while await half_closed.read():  # to its end
        pass
    return [*waiting, talking, unread, unheard, half_closed]


async def serve(library: str, address: str, crowd: int) -> None:
    servicer = EchoServicer()
    servicer.crowd = crowd
    server: Any = grpc.aio.server() if library == "grpcio" else h2grpc.server()
    add_echo(servicer, server)
    say(str(server.add_insecure_port(address)))
    await server.start()
    await servicer.is_crowded.wait()
    say("crowded")
    await asyncio.Event().wait()


async def call(library: str, target: str, count: int) -> None:
    open_channel: Any = grpc.aio.insecure_channel if library == "grpcio" else h2grpc.insecure_channel
    async with open_channel(target) as channel:
        calls = await calls_of_all_kinds(channel, count)
        say("calling")
        # Nobody reads at the other end, so this stops within a message.
        await calls[-2].write(bytes(HALF))
        await asyncio.Event().wait()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    command, library, address, count = sys.argv[1:]
    asyncio.run((serve if command == "serve" else call)(library, address, int(count)))
