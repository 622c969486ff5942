"""
The worker of the floor (floor_gateway.py says what that is): takes batches off a Unix socket, scores each with one call
of ONNX Runtime on one thread, and sends the outputs back. The model has one input and one output of 32-bit floats.

Run as ``python -m loadtests.bench.floor_worker SOCKET MODEL``.
"""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter
from typing import Any

import ngh2
import numpy as np
import onnxruntime
import uvloop

from loadtests.bench.floor_messages import BATCH, SCORED, Messages
from loadtests.bench.floor_peer import HEAD, Peer
from loadtests.bench.h2load import framed

__all__: list[str] = []


class Worker(Peer):
    """The stream of one gateway. A batch is scored where it arrives."""

    def __init__(self, session: Any) -> None:
        super().__init__(ngh2.Role.SERVER)
        self._session = session
        self._input: str = session.get_inputs()[0].name
        self._messages = Messages()

    def data_received(self, data: bytes) -> None:
        self._engine.receive_data(data)
        for event in self._engine.events():
            if isinstance(event, ngh2.RequestReceived):
                self._engine.send_response(event.stream_id, HEAD)
            elif isinstance(event, ngh2.DataReceived):
                for message in self._messages.cut(event.data):
                    self._engine.send_data(event.stream_id, framed(self._scored(message)))
        self._flush()

    def _scored(self, message: bytes) -> bytes:
        number, rows = BATCH.unpack_from(message)
        given = np.frombuffer(message, "<f4", offset=BATCH.size).reshape(rows, -1)
        started = perf_counter()
        (outputs,) = self._session.run(None, {self._input: given})
        seconds = perf_counter() - started
        return SCORED.pack(number, rows, seconds) + bytes(outputs.tobytes())


async def serve(socket: str, model: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    server = await asyncio.get_running_loop().create_unix_server(lambda: Worker(session), socket)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
