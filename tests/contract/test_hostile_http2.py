"""
Floods over HTTP/2 against the real port: the connection is left with the right error, and other callers never notice.

That each flood ends within a bounded number of frames is counted in tests/h2grpc; here it is that the gateway has those
limits switched on, and that what a flood cost is gone with it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import ngh2
import pytest

from gateway.edge.config import EdgeConfig
from gateway.wire.v1 import grpc_service_pb2 as pb
from tests.support.h2grpc_frames import DATA, END_HEADERS, GREETING, HEADERS, PING, RST, SETTINGS, frame
from tests.support.hostile import no_crash
from tests.support.oip_edge import OipEdge, serving
from tests.support.oip_stack import KEY

CONFIG = EdgeConfig(host="localhost", http_port=0, grpc_port=0, grpc_engine="h2grpc", max_body_bytes=1_000_000)
CALM = 0xB
GOAWAY = 7


def call_block(
    path: bytes = b"/inference.GRPCInferenceService/ModelInfer", content_type: bytes = b"application/grpc"
) -> bytes:
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    client.data_to_send()
    names = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", path), (b":authority", b"localhost")]
    more = [(b"content-type", content_type), (b"te", b"trailers"), (b"authorization", KEY.encode())]
    client.send_request([*names, *more])
    return client.data_to_send()[9:]


@asynccontextmanager
async def raw(
    edge: OipEdge, port: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    context = ssl.create_default_context(cafile=str(edge.ca))
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("localhost", port or edge.http_server.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()


async def goodbye(reader: asyncio.StreamReader) -> int | None:
    """The error code of the GOAWAY, or None if the connection ends without one."""
    seen: int | None = None
    async with asyncio.timeout(20):
        try:
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == GOAWAY:
                    seen = int.from_bytes(payload[4:8], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return seen


def stream(count: int) -> int:
    return 2 * count + 1


BLOCK = call_block()
FLOODS: dict[str, Callable[[int], bytes]] = {
    "resets": lambda n: frame(HEADERS, END_HEADERS, stream(n), BLOCK) + frame(RST, 0, stream(n), b"\0\0\0\x08"),
    "pings": lambda n: frame(PING, 0, 0, b"12345678"),
    "settings": lambda n: frame(SETTINGS, 0, 0),
    "empty frames": lambda n: frame(DATA, 0, 1) if n else frame(HEADERS, END_HEADERS, 1, BLOCK),
}


@pytest.mark.parametrize("port", ["http", "grpc"])
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_left_and_others_never_notice(tmp_path: Path, name: str, port: str) -> None:
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            number = edge.http_server.port if port == "http" else edge.grpc_server.port
            async with raw(edge, number) as (reader, writer):
                writer.write(GREETING + b"".join(FLOODS[name](n) for n in range(12_000)))
                code = await goodbye(reader)
            live = await edge.stub.ServerLive(pb.ServerLiveRequest(), timeout=10)

    assert code == CALM
    assert live.live
    assert edge.stack.seen == []


async def test_calls_that_are_begun_and_never_made_hold_up_nobody(tmp_path: Path) -> None:
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge, raw(edge) as (reader, writer):
            writer.write(GREETING)
            writer.write(b"".join(frame(HEADERS, END_HEADERS, stream(n), BLOCK) for n in range(1500)))
            writer.write(frame(PING, 0, 0, b"are you?"))
            async with asyncio.timeout(20):
                await reader.readuntil(b"are you?")
            live = await edge.stub.ServerLive(pb.ServerLiveRequest(), timeout=10)

    assert live.live
    assert edge.stack.seen == []


async def test_a_header_bomb_is_left(tmp_path: Path) -> None:
    bomb = BLOCK + b"\x40\x01a\x7f\x81\x1e" + b"x" * (127 + 1 + 0x1E * 128) + b"\xbe" * 4_000
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            async with raw(edge) as (reader, writer):
                writer.write(GREETING + frame(HEADERS, END_HEADERS, 1, bomb))
                code = await goodbye(reader)
            live = await edge.stub.ServerLive(pb.ServerLiveRequest(), timeout=10)

    assert (code, live.live) == (CALM, True)


ROW = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}'
TWO_WAYS = {
    "nothing": (None, 1),
    "a transfer encoding": ((b"transfer-encoding", b"chunked"), 0),
    "a connection": ((b"connection", b"close"), 0),
    "another length": ((b"content-length", b"5"), 0),
    "a name in upper case": ((b"Upper", b"case"), 0),
    "a name with a line break": ((b"a\r\nb", b"c"), 0),
    "a value with a line break": ((b"a", b"b\r\nc: d"), 0),
    "a second path": ((b":path", b"/v2/models/secret/infer"), 0),
}


@pytest.mark.parametrize("name", TWO_WAYS)
async def test_a_request_that_could_be_read_in_two_ways_is_not_scored(tmp_path: Path, name: str) -> None:
    extra, scored = TWO_WAYS[name]
    block = call_block(b"/v2/models/matrix/infer", content_type=b"application/json")
    if extra is not None:
        block += b"\x00" + bytes([len(extra[0])]) + extra[0] + bytes([len(extra[1])]) + extra[1]
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            async with raw(edge) as (reader, writer):
                writer.write(GREETING + frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, 1, 1, ROW))
                writer.write(frame(PING, 0, 0, b"are you?"))
                async with asyncio.timeout(20):
                    with suppress(asyncio.IncompleteReadError):
                        await reader.readuntil(b"are you?")
            live = await edge.stub.ServerLive(pb.ServerLiveRequest(), timeout=10)

    assert len(edge.stack.seen) == scored
    assert live.live
