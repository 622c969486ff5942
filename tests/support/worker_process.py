"""A real worker process and a gateway's end of its streams, for tests."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec
import numpy as np

from workers.options import GroupOptions, WorkerOptions
from workers.wire.v1 import worker_pb2 as wire
from workers.wire.v1 import worker_pb2_grpc

__all__ = ["Gateway", "WorkerProcess", "batch", "connected", "free_address", "numbers", "running"]

ROOT = Path(__file__).parents[2]


def free_address() -> str:
    """A TCP address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def batch(number: int, *values: int, budget_ms: int = 0) -> wire.Batch:
    """A batch of the scripted runtime's one column."""
    return wire.Batch(id=number, rows=len(values), records=np.array(values, "<i8").tobytes(), budget_ms=budget_ms)


def numbers(reply: wire.Reply) -> list[int]:
    values: list[int] = np.frombuffer(reply.records, "<i8").tolist()
    return values


class WorkerProcess:
    """One started process; its events as they come."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process, self.address = process, address

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of this name; fails if the process ends before."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            event: dict[str, Any] = msgspec.json.decode(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"the worker ended before it said {name}")

    async def left(self) -> int:
        """Its exit status."""
        return await self.process.wait()


class Gateway:
    """A channel to one worker."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.stub: Any = worker_pb2_grpc.WorkerStub(channel)  # type: ignore[no-untyped-call]

    async def stream(self) -> Any:
        """An open Score stream whose first reply, the state READY, was read."""
        call = self.stub.Score()
        first = await call.read()
        assert first.state == wire.READY
        return call


@asynccontextmanager
async def running(
    model: Path, runtime: str = "scripted", address: str | None = None, **settings: Any
) -> AsyncIterator[WorkerProcess]:
    """A started worker, maybe not yet ready; killed at the end if it is still there."""
    if address is None and "workers" in settings:
        address = settings["workers"][0].address
    address = address or f"unix:{model.parent if model.suffix else model}/w.sock"
    workers = settings.pop("workers", [WorkerOptions(name="e/d/0", address=address)])
    group = GroupOptions(model=str(model), workers=workers, **settings)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.worker_entry",
        msgspec.json.encode(group).decode(),
        runtime,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield WorkerProcess(process, address)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def connected(model: Path, *args: Any, **settings: Any) -> AsyncIterator[tuple[WorkerProcess, Gateway]]:
    """A ready worker and a gateway."""
    async with running(model, *args, **settings) as worker:
        await worker.event("ready")
        async with grpc.aio.insecure_channel(worker.address) as channel:
            yield worker, Gateway(channel)
