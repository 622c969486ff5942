"""A worker process played by the test: a real gRPC server of worker.proto whose every word is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from tests.support.held_scorer import LAYOUT
from workers.wire.v1 import worker_pb2 as wire
from workers.wire.v1 import worker_pb2_grpc

__all__ = ["FakeWorker", "answer", "description", "failure"]


def answer(batch: wire.Batch) -> wire.Reply:
    """Every number plus 1000."""
    data = batch.records
    numbers = [int.from_bytes(data[i : i + 8], "little", signed=True) + 1000 for i in range(0, len(data), 8)]
    records = b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
    return wire.Reply(id=batch.id, rows=batch.rows, records=records, compute_ns=2_000_000)


def failure(code: wire.Failure.Code, message: str = "no", kind: str = "") -> Callable[[wire.Batch], wire.Reply]:
    return lambda batch: wire.Reply(id=batch.id, failure=wire.Failure(code=code, message=message, kind=kind))


def description(pid: int = 1, **changes: Any) -> wire.Description:
    """A model that takes one integer and gives one."""
    column = wire.Column(name=LAYOUT.columns[0].name, kind="integer", datatype="INT64")
    facts: dict[str, Any] = {"inputs": [column], "outputs": [column], "platform": "r", "runtime": "R 4", "pid": pid}
    return wire.Description(**(facts | {"device": "cpu"} | changes))


class FakeWorker(worker_pb2_grpc.WorkerServicer):
    """``script`` makes the reply to a batch, or None to hold it until the test sends one."""

    def __init__(self, address: str, facts: wire.Description | None = None) -> None:
        self.address = address
        self.facts = facts or description()
        self.script: Callable[[wire.Batch], wire.Reply | None] = answer
        self.first = wire.Reply(state=wire.READY)
        self.batches: list[wire.Batch] = []
        self.sessions = 0
        self._streams: list[asyncio.Queue[wire.Reply | None]] = []
        self._arrival = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        worker_pb2_grpc.add_WorkerServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def die(self) -> None:
        """At once, with whatever it holds."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
        self._streams.clear()

    async def received(self, number: int) -> None:
        """Until ``number`` batches have come."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.batches) >= number)

    async def connected(self, times: int = 1) -> None:
        """Until a stream was opened so many times."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: self.sessions >= times)

    def say(self, reply: wire.Reply) -> None:
        """On every open stream."""
        for stream in self._streams:
            stream.put_nowait(reply)

    def hang_up(self) -> None:
        """End every stream in good order."""
        for stream in self._streams:
            stream.put_nowait(None)

    async def Describe(self, request: wire.DescribeRequest, context: Any) -> wire.Description:
        return self.facts

    async def Score(self, request_iterator: AsyncIterator[wire.Batch], context: Any) -> AsyncIterator[wire.Reply]:
        replies: asyncio.Queue[wire.Reply | None] = asyncio.Queue()
        replies.put_nowait(self.first)
        reader = asyncio.get_running_loop().create_task(self._read(request_iterator, replies))
        async with self._arrival:
            self._streams.append(replies)
            self.sessions += 1
            self._arrival.notify_all()
        try:
            while (reply := await replies.get()) is not None:
                yield reply
        finally:
            reader.cancel()
            if replies in self._streams:
                self._streams.remove(replies)

    async def _read(
        self, request_iterator: AsyncIterator[wire.Batch], replies: asyncio.Queue[wire.Reply | None]
    ) -> None:
        async for batch in request_iterator:
            reply = self.script(batch)
            if reply is not None:
                replies.put_nowait(reply)
            async with self._arrival:
                self.batches.append(batch)
                self._arrival.notify_all()
