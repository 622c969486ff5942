"""The way of the floor's gateway (floor_gateway.py) to its worker: rows become batches on one stream, answers rows."""

from __future__ import annotations

import asyncio

import ngh2

from loadtests.bench.floor_messages import BATCH, SCORED, Messages
from loadtests.bench.floor_peer import Peer
from loadtests.bench.grpc_connection import fields
from loadtests.bench.h2load import framed

__all__ = ["Link", "Scored"]

MAX_ROWS = 64
"""As Lockgate's deployments have it here."""

BATCHES_OUT = 2
"""One is scored while the other is on its way."""

Scored = tuple[bytes, float]
"""The outputs of one row, and the seconds of compute of its batch."""

Waiting = list[tuple[bytes, asyncio.Future[Scored]]]


class Link(Peer):
    """The stream to the worker. What waits leaves together when fewer than ``BATCHES_OUT`` are out."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(ngh2.Role.CLIENT)
        self._loop = loop
        self._messages = Messages()
        self._stream = self._sent = 0
        self._waiting: Waiting = []
        self._out: dict[int, Waiting] = {}
        self._is_scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._stream = self._engine.send_request(fields("worker", "/Score", {}))
        self._send()

    def score(self, row: bytes) -> asyncio.Future[Scored]:
        """One row; all that come in this turn of the loop share a batch."""
        scored: asyncio.Future[Scored] = self._loop.create_future()
        self._waiting.append((row, scored))
        if not self._is_scheduled and len(self._out) < BATCHES_OUT:
            self._is_scheduled = True
            self._loop.call_soon(self._send)
        return scored

    def data_received(self, data: bytes) -> None:
        self._engine.receive_data(data)
        for event in self._engine.events():
            if isinstance(event, ngh2.DataReceived):
                for message in self._messages.cut(event.data):
                    self._deliver(message)
        self._send()

    def _send(self) -> None:
        self._is_scheduled = False
        while self._waiting and len(self._out) < BATCHES_OUT:
            batch, self._waiting = self._waiting[:MAX_ROWS], self._waiting[MAX_ROWS:]
            self._sent += 1
            self._out[self._sent] = batch
            message = BATCH.pack(self._sent, len(batch)) + b"".join([row for row, _ in batch])
            self._engine.send_data(self._stream, framed(message))
        self._flush()

    def _deliver(self, message: bytes) -> None:
        number, rows, seconds = SCORED.unpack_from(message)
        width = (len(message) - SCORED.size) // rows
        for place, (_, scored) in enumerate(self._out.pop(number)):
            if not scored.done():  # its caller may have left
                start = SCORED.size + place * width
                scored.set_result((message[start : start + width], seconds))
