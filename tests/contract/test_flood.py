"""
A well-behaved client keeps being answered while others do their worst: counted in answers, not in time.

Half of the others hold connections open and never finish what they began; half come, are refused, and come again.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from gateway.edge.config import EdgeConfig
from gateway.wire.v1 import grpc_service_pb2 as pb
from tests.support.h2grpc_frames import GREETING
from tests.support.hostile import no_crash
from tests.support.oip_edge import OipEdge, serving
from tests.support.oip_stack import KEY

pytestmark = pytest.mark.usefixtures("http_engine")

CONFIG = EdgeConfig(host="localhost", http_port=0, grpc_port=0, max_body_bytes=100_000, idle_timeout_ms=60_000)
GOOD = 40
SLOW = 40
HEAD = b"POST /v2/models/matrix/infer HTTP/1.1\r\nHost: localhost\r\n"
UNFINISHED = [
    b"",
    b"POST /v2/mod",
    HEAD,
    HEAD + b"X-Slow: a",
    HEAD + b"Content-Length: 50000\r\n\r\n" + b"[" * 20_000,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[[[[[\r\n",
    HEAD + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    GREETING[:10],
]
REFUSED = [
    HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    HEAD + b"Content-Length: 999999999\r\n\r\n",
    HEAD + b"Authorization: Bearer wrong\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Authorization: " + KEY.encode() + b"\r\nContent-Length: 50000\r\n\r\n" + b"[" * 50_000,
    b"\x16\x03\x01 what is this\r\n\r\n",
    b"GET /" + b"a" * 50_000,
]
ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}


def trusting(edge: OipEdge) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(edge.ca))


async def hold(edge: OipEdge, context: ssl.SSLContext, begun: bytes, open_: AsyncExitStack) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("localhost", edge.http_server.port, ssl=context)
    open_.callback(writer.close)
    writer.write(begun)
    return writer


async def pester(edge: OipEdge, context: ssl.SSLContext, worst: bytes, counts: dict[str, int]) -> None:
    """Comes again and again until cancelled."""
    while True:
        reader, writer = await asyncio.open_connection("localhost", edge.http_server.port, ssl=context)
        writer.write(worst)
        with suppress(ConnectionError):
            answer = await reader.read(100_000)
            counts[answer[9:12].decode("latin-1")] = counts.get(answer[9:12].decode("latin-1"), 0) + 1
        writer.close()


async def ask_http(edge: OipEdge, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    body = json.dumps(ROW).encode()
    lines = ["POST /v2/models/matrix/infer HTTP/1.1", "Host: localhost", f"Authorization: {KEY}"]
    writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(line for line in head.split("\r\n") if line.startswith("content-length: "))
    await reader.readexactly(int(length.removeprefix("content-length: ")))
    return int(head.split()[1])


async def ask_grpc(edge: OipEdge) -> str:
    request = pb.ModelInferRequest(model_name="matrix")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(bytes(16))
    await edge.stub.ModelInfer(request, metadata=[("authorization", KEY)], timeout=30)
    return "OK"


async def test_every_good_request_is_answered_in_a_flood_of_bad_ones(tmp_path: Path) -> None:
    counts: dict[str, int] = {}
    with no_crash():
        async with asyncio.timeout(60), serving(tmp_path, config=CONFIG) as edge, AsyncExitStack() as open_:
            context = trusting(edge)
            for i in range(SLOW):
                await hold(edge, context, UNFINISHED[i % len(UNFINISHED)], open_)
            reader, writer = await asyncio.open_connection("localhost", edge.http_server.port, ssl=context)
            open_.callback(writer.close)
            async with asyncio.TaskGroup() as others:
                pests = [others.create_task(pester(edge, context, worst, counts)) for worst in REFUSED]
                statuses = [await ask_http(edge, reader, writer) for _ in range(GOOD)]
                codes = [await ask_grpc(edge) for _ in range(GOOD)]
                while sum(counts.values()) < len(REFUSED):
                    statuses.append(await ask_http(edge, reader, writer))
                for pest in pests:
                    pest.cancel()

    assert set(statuses) == {200}
    assert codes == ["OK"] * GOOD
    assert "200" not in counts
