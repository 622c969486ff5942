"""One port: HTTP/1.1, REST over HTTP/2 and gRPC, told apart by ALPN or by the first bytes, and by content type."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec
import ngh2
import pytest

from gateway.edge.config import EdgeConfig
from gateway.edge.listener import PREFACE
from gateway.wire.v1 import grpc_service_pb2 as pb
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.oip_edge import OipEdge, serving
from tests.support.oip_stack import KEY

pytestmark = pytest.mark.usefixtures("http_engine")

CONFIG = EdgeConfig(host="localhost", http_port=0, grpc_port=0, grpc_engine="h2grpc", max_body_bytes=10_000)
ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}


class Http2:
    """A client that sends what it is told to."""

    def __init__(self, edge: OipEdge) -> None:
        self._edge = edge
        self._engine = ngh2.Connection(ngh2.Role.CLIENT)

    async def __aenter__(self) -> Http2:
        context = ssl.create_default_context(cafile=str(self._edge.ca))
        context.set_alpn_protocols(["h2"])
        self._reader, self._writer = await asyncio.open_connection(
            "localhost", self._edge.http_server.port, ssl=context
        )
        self._engine.initiate_connection()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(
        self, method: bytes, path: bytes, body: bytes = b"", *headers: tuple[bytes, bytes], ends: bool = True
    ) -> tuple[int, dict[str, str], bytes]:
        engine = self._engine
        fields = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path)]
        stream = engine.send_request([*fields, *headers], end_stream=not body)
        if body:
            engine.send_data(stream, body, end_stream=ends)
        answer: dict[str, str] = {}
        data = b""
        async with asyncio.timeout(10):
            while True:
                self._writer.write(engine.data_to_send())
                engine.receive_data(await self._reader.read(65536))
                for event in engine.events():
                    if getattr(event, "stream_id", None) != stream:
                        continue
                    if isinstance(event, ngh2.ResponseReceived):
                        answer = {name.decode(): value.decode() for name, value in event.headers}
                    elif isinstance(event, ngh2.DataReceived):
                        data += event.data
                    if getattr(event, "end_stream", False):
                        return int(answer.pop(":status")), answer, data

    async def farewell(self) -> list[int]:
        """The error codes with which the server says that it goes, until it has."""
        codes: list[int] = []
        async with asyncio.timeout(10):
            while data := await self._reader.read(65536):
                with suppress(ngh2.ConnectionStateError):  # said twice, and the engine is done at the first
                    self._engine.receive_data(data)
                codes += [each.error_code for each in self._engine.events() if isinstance(each, ngh2.GoAwayReceived)]
                self._writer.write(self._engine.data_to_send())
        return codes


def infer_path(model: str = "matrix") -> bytes:
    return f"/v2/models/{model}/infer".encode()


def as_json(key: str = KEY) -> tuple[tuple[bytes, bytes], ...]:
    return (b"authorization", key.encode()), (b"content-type", b"application/json")


async def test_a_rest_request_over_http_2_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge, Http2(edge) as client:
        status, headers, body = await client.ask(b"POST", infer_path(), json.dumps(ROW).encode(), *as_json())

    assert (status, headers["content-type"], headers["content-length"]) == (200, "application/json", str(len(body)))
    assert json.loads(body)["model_name"] == "matrix"
    assert len(headers["x-request-id"]) == 36


async def test_an_error_over_http_2_has_its_family_s_body(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge, Http2(edge) as client:
        status, _, body = await client.ask(b"POST", infer_path(), b"oops", *as_json())

    assert (status, list(json.loads(body))) == (400, ["error"])


async def test_a_body_over_the_limit_is_refused_over_http_2_too(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge, Http2(edge) as client:
        status, headers, _ = await client.ask(b"POST", infer_path(), b" " * 10_001, *as_json())

    assert (status, headers["content-type"]) == (413, "application/json")


async def test_headers_over_the_limit_are_refused_over_http_2_too(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge, Http2(edge) as client:
        status, _, body = await client.ask(b"POST", infer_path(), b"{}", *as_json(), (b"x-long", b"a" * 20_000))
        after = (await client.ask(b"GET", b"/v2/health/live"))[0]

    assert (status, list(json.loads(body)), after) == (431, ["error"], 200)


async def test_a_body_that_does_not_come_is_not_waited_for_over_http_2_either(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, body_timeout_ms=1)
    async with serving(tmp_path, config=config) as edge, Http2(edge) as client:
        status, _, body = await client.ask(b"POST", infer_path(), b"{", *as_json(), ends=False)

    assert (status, "within 1 ms" in json.loads(body)["error"]) == (408, True)


async def test_an_idle_connection_of_http_2_is_told_to_go(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, idle_timeout_ms=50)
    async with serving(tmp_path, config=config) as edge, Http2(edge) as client:
        status = (await client.ask(b"GET", b"/v2/health/live"))[0]
        reasons = await client.farewell()

    assert (status, reasons[-1]) == (200, 0)


async def test_head_over_http_2_has_no_body(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge, Http2(edge) as client:
        status, headers, body = await client.ask(b"HEAD", b"/v2")

    assert (status, int(headers["content-length"]) > 0, body) == (200, True, b"")


async def test_one_connection_serves_many_requests_over_http_2(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge, Http2(edge) as client:
        statuses = [(await client.ask(b"GET", b"/v2/health/live"))[0] for _ in range(5)]

    assert statuses == [200] * 5


async def test_grpc_works_on_the_http_port(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge:
        credentials = grpc.ssl_channel_credentials(edge.ca.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{edge.http_server.port}", credentials) as channel:
            stub: Any = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            ready = await stub.ServerReady(pb.ServerReadyRequest(), timeout=10)

    assert ready.ready


@pytest.mark.parametrize("offered", [["http/1.1"], ["unheard-of"], None])
async def test_who_does_not_ask_for_http_2_gets_http_1_1(tmp_path: Path, offered: list[str] | None) -> None:
    async with serving(tmp_path, config=CONFIG) as edge:
        context = ssl.create_default_context(cafile=str(edge.ca))
        if offered:
            context.set_alpn_protocols(offered)
        reader, writer = await asyncio.open_connection("localhost", edge.http_server.port, ssl=context)
        writer.write(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("cut", [len(PREFACE) + 9, 1, len(PREFACE) - 1, len(PREFACE)])
async def test_in_clear_text_the_first_bytes_tell(tmp_path: Path, cut: int) -> None:
    async with serving(tmp_path, config=CONFIG, is_tls=False) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.http_server.port)
        hello = PREFACE + b"\0\0\0\x04\0\0\0\0\0"
        writer.write(hello[:cut])
        await writer.drain()
        writer.write(hello[cut:])
        async with asyncio.timeout(10):
            frame = await reader.readexactly(9)
        writer.close()

    assert frame[3] == 4  # SETTINGS


@pytest.mark.parametrize("cut", [1, 3, 40])
async def test_in_clear_text_http_1_1_loses_nothing(tmp_path: Path, cut: int) -> None:
    request = b"PUT /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with serving(tmp_path, config=CONFIG, is_tls=False) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.http_server.port)
        writer.write(request[:cut])
        await writer.drain()
        writer.write(request[cut:])
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 405 ")


async def test_who_says_nothing_on_a_clear_port_is_closed(tmp_path: Path) -> None:
    config = EdgeConfig(host="localhost", http_port=0, grpc_port=0, grpc_engine="h2grpc", idle_timeout_ms=1)
    async with serving(tmp_path, config=config, is_tls=False) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.http_server.port)
        writer.write(PREFACE[:5])
        answer = b""
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):  # closed before the five bytes were there
                answer = await reader.read()
        writer.close()

    assert answer == b""


async def test_a_drain_closes_who_has_not_said_what_it_speaks(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG, is_tls=False) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.http_server.port)
        other, answered = await asyncio.open_connection("localhost", edge.http_server.port)
        writer.write(PREFACE[:5])
        answered.write(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            await other.readuntil(b"\r\n\r\n")  # by then the other one's five bytes are there too
            await edge.http_server.drain(5)
            answer = await reader.read()
        writer.close()
        answered.close()

    assert answer == b""


async def test_who_leaves_in_mid_preface_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG, is_tls=False) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.http_server.port)
        writer.write(PREFACE[:5])
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()

    assert answer == b""


async def test_a_drain_answers_what_runs_on_either_protocol(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge, Http2(edge) as client:
        asking = asyncio.create_task(client.ask(b"POST", infer_path("slow"), json.dumps(ROW).encode(), *as_json()))
        async with asyncio.timeout(10):
            await edge.stack.started.wait()
            drains = asyncio.gather(edge.grpc_server.drain(5), edge.http_server.drain(5))
            await asyncio.sleep(0)
            edge.stack.release.set()
            status = (await asking)[0]
            await drains

    assert status == 200
