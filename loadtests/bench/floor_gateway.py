"""
The floor: the least that a gateway and a worker can be. A server for nobody; a yardstick for the machine.

A figure in milliseconds is promised for one machine and measured on another. Gateway and worker of the floor are the
mechanism itself, in Python and with the libraries that Lockgate has too: TLS, HTTP/2, a comparison of the key, protobuf
in and out, a task for each request, batches that leave as soon as one may, one stream to one worker over a Unix socket,
ONNX Runtime there. They have no limits, no deadlines, no routes, no records and no errors, and know one model with one
tensor in and one out. What this costs here is what no gateway made of these parts gets below by much, and what Lockgate
adds to it is Lockgate's own.

Run as ``python -m loadtests.bench.floor_gateway PORT CERTIFICATE PRIVATE_KEY API_KEY_FILE SOCKET``.
"""

from __future__ import annotations

import asyncio
import hmac
import ssl
import sys
from hashlib import sha256
from pathlib import Path

import ngh2
import uvloop

from gateway.wire.v1 import grpc_service_pb2 as wire
from loadtests.bench.floor_link import Link
from loadtests.bench.floor_peer import HEAD, Peer
from loadtests.bench.h2load import framed

__all__: list[str] = []


class Caller(Peer):
    """One client's connection. A call without the key ends it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link, authorization: bytes) -> None:
        """``authorization``: SHA-256 of the header's right value."""
        super().__init__(ngh2.Role.SERVER)
        self._loop, self._link, self._authorization = loop, link, authorization
        self._bodies: dict[int, list[bytes]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._is_scheduled = False

    def data_received(self, data: bytes) -> None:
        self._engine.receive_data(data)
        for event in self._engine.events():
            if isinstance(event, ngh2.RequestReceived):
                shown = sha256(dict(event.headers).get(b"authorization", b"")).digest()
                if not hmac.compare_digest(shown, self._authorization):
                    self._transport.abort()
                    return
                self._bodies[event.stream_id] = []
            elif isinstance(event, ngh2.DataReceived):
                self._bodies[event.stream_id].append(event.data)
                if event.end_stream:
                    task = self._loop.create_task(self._answer(event.stream_id))
                    self._answers.add(task)
                    task.add_done_callback(self._answers.discard)
        self._flush_soon()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        for task in self._answers:
            task.cancel()

    async def _answer(self, stream: int) -> None:
        request = wire.ModelInferRequest.FromString(b"".join(self._bodies.pop(stream))[5:])
        values, seconds = await self._link.score(request.raw_input_contents[0])
        answer = wire.ModelInferResponse(model_name=request.model_name, id=request.id)
        output = answer.outputs.add()
        output.name, output.datatype = "y", "FP32"
        output.shape.extend((1, len(values) // 4))
        answer.raw_output_contents.append(values)
        self._engine.send_response(stream, HEAD)
        self._engine.send_data(stream, framed(answer.SerializeToString()))
        timing = b"compute;dur=%.3f" % (seconds * 1000)
        self._engine.send_trailers(stream, [(b"grpc-status", b"0"), (b"server-timing", timing)])
        self._flush_soon()

    def _flush_soon(self) -> None:
        """One write for all that happens in this turn of the loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        super()._flush()


async def serve(port: int, context: ssl.SSLContext, authorization: bytes, socket: str) -> None:
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(lambda: Link(loop), socket)
    server = await loop.create_server(lambda: Caller(loop, link, authorization), "127.0.0.1", port, ssl=context)
    await server.serve_forever()


def main(port: str, certificate: str, private_key: str, api_key_file: str, socket: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)
    context.set_alpn_protocols(["h2"])
    authorization = sha256(f"Bearer {Path(api_key_file).read_text().strip()}".encode()).digest()
    uvloop.run(serve(int(port), context, authorization, socket))


if __name__ == "__main__":
    main(*sys.argv[1:])
