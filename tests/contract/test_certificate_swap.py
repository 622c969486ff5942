"""
Certificates are swapped under callers who never stop asking, and none of them notices.

Every caller asks again and again, on a connection that is kept or on a fresh one each time, over HTTP/1.1 and gRPC. A
swap is made when each of them has been answered since the last one; so each swap meets requests on their way, and what
is counted is answers, not time.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import trustme

from gateway.edge.config import EdgeConfig, GrpcEngineName, HttpEngineName
from gateway.wire.v1 import grpc_service_pb2 as pb
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.oip_edge import OipEdge, serving
from tests.support.oip_stack import KEY
from tests.support.tls_files import SecretMount, ServerFiles, fingerprint_of

SWAPS = 8
CALLERS = 2
"""Of each kind."""
PATIENCE = 60

BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}).encode()
REQUEST = (
    f"POST /v2/models/matrix/infer HTTP/1.1\r\nhost: localhost\r\nauthorization: {KEY}\r\n"
    f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
).encode() + BODY
INFER = pb.ModelInferRequest(
    model_name="matrix",
    inputs=[
        pb.ModelInferRequest.InferInputTensor(
            name="x", datatype="FP32", shape=[1, 4], contents=pb.InferTensorContents(fp32_contents=[1, 2, 3, 4])
        )
    ],
)


@dataclass
class Tally:
    """What one caller has seen."""

    kind: str
    answers: int = 0
    connections: int = 0
    shown: set[str] = field(default_factory=set)
    """Certificates, by fingerprint."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def answered(self) -> None:
        self.answers += 1
        self.news.set()

    async def until(self, answers: int) -> None:
        while self.answers < answers:
            self.news.clear()
            await self.news.wait()


class Http:
    """One connection over HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @property
    def shown(self) -> str:
        return fingerprint_of(self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True))

    async def ask(self) -> None:
        self._writer.write(REQUEST)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        answer = await self._reader.readexactly(size)
        assert head.startswith("http/1.1 200 "), head + answer.decode()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ssl.SSLError, ConnectionError):
            await self._writer.wait_closed()


class Callers:
    """All of them, until ``stop``."""

    def __init__(self, edge: OipEdge) -> None:
        self._edge = edge
        self._context = ssl.create_default_context(cafile=str(edge.ca))
        self._credentials = grpc.ssl_channel_credentials(edge.ca.read_bytes())
        self.is_stopping = False
        kinds: dict[str, Callable[[Tally], Awaitable[None]]] = {
            "http, kept": self._http_kept,
            "http, fresh": self._http_fresh,
            "grpc, kept": self._grpc_kept,
            "grpc, fresh": self._grpc_fresh,
        }
        self._work = [(Tally(kind), work) for kind, work in kinds.items() for _ in range(CALLERS)]

    @property
    def tallies(self) -> list[Tally]:
        return [tally for tally, _ in self._work]

    def start(self, tasks: asyncio.TaskGroup) -> None:
        for tally, work in self._work:
            tasks.create_task(_until_done(work(tally)), name=tally.kind)

    async def all_answered_again(self) -> None:
        await asyncio.gather(*(tally.until(tally.answers + 2) for tally in self.tallies))

    @asynccontextmanager
    async def _http(self, tally: Tally) -> AsyncIterator[Http]:
        port = self._edge.http_server.port
        tally.connections += 1
        http = Http(*await asyncio.open_connection("localhost", port, ssl=self._context))
        tally.shown.add(http.shown)
        try:
            yield http
        finally:
            await http.close()

    async def _http_kept(self, tally: Tally) -> None:
        async with self._http(tally) as http:
            while not self.is_stopping:
                await http.ask()
                tally.answered()

    async def _http_fresh(self, tally: Tally) -> None:
        while not self.is_stopping:
            async with self._http(tally) as http:
                await http.ask()
            tally.answered()

    @asynccontextmanager
    async def _grpc(self, tally: Tally) -> AsyncIterator[Any]:
        tally.connections += 1
        options = [("grpc.use_local_subchannel_pool", 1)]
        target = f"localhost:{self._edge.grpc_server.port}"
        async with grpc.aio.secure_channel(target, self._credentials, options=options) as channel:
            yield GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]

    async def _grpc_kept(self, tally: Tally) -> None:
        async with self._grpc(tally) as stub:
            while not self.is_stopping:
                await stub.ModelInfer(INFER, metadata=[("authorization", KEY)])
                tally.answered()

    async def _grpc_fresh(self, tally: Tally) -> None:
        while not self.is_stopping:
            async with self._grpc(tally) as stub:
                await stub.ModelInfer(INFER, metadata=[("authorization", KEY)])
            tally.answered()


async def _until_done(work: Awaitable[None]) -> None:
    await work


@pytest.mark.parametrize("kind", ["files", "mounted secret"])
@pytest.mark.parametrize(("http_engine", "grpc_engine"), [("httptools", "h2grpc"), ("aiohttp", "grpcio")])
async def test_no_request_fails_while_certificates_are_swapped(
    tmp_path: Path, http_engine: HttpEngineName, grpc_engine: GrpcEngineName, kind: str
) -> None:
    config = EdgeConfig(host="localhost", http_port=0, grpc_port=0, http_engine=http_engine, grpc_engine=grpc_engine)
    server: ServerFiles | SecretMount
    server = ServerFiles(tmp_path, trustme.CA()) if kind == "files" else SecretMount(tmp_path, trustme.CA())
    swapped = [server.renew()]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(PATIENCE))
        edge = await stack.enter_async_context(serving(tmp_path, config=config, server=server))
        callers = Callers(edge)
        async with asyncio.TaskGroup() as tasks:
            callers.start(tasks)
            await callers.all_answered_again()
            for _ in range(SWAPS):
                swapped.append(server.renew())
                edge.certificates.look()
                await callers.all_answered_again()
            callers.is_stopping = True

    assert edge.certificates.current.fingerprint == swapped[-1]
    for tally in callers.tallies:
        assert tally.answers >= 2 * (SWAPS + 1)
        if tally.kind.endswith("kept"):
            assert tally.connections == 1, "a connection was lost"
        elif tally.kind == "http, fresh":
            assert tally.shown == set(swapped)


@pytest.mark.parametrize("engine", ["h2grpc", "grpcio"])
async def test_a_new_connection_over_grpc_is_shown_the_new_certificate(tmp_path: Path, engine: GrpcEngineName) -> None:
    config = EdgeConfig(host="localhost", http_port=0, grpc_port=0, grpc_engine=engine)
    server = ServerFiles.made(tmp_path)
    context = server.client()
    context.set_alpn_protocols(["h2"])
    async with asyncio.timeout(PATIENCE), serving(tmp_path, config=config, server=server) as edge:
        expected, seen = [edge.certificates.current.fingerprint], []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("localhost", edge.grpc_server.port, ssl=context)
            seen.append(Http(reader, writer).shown)
            writer.transport.abort()
            expected.append(server.renew())
            edge.certificates.look()

    assert seen == expected[:3]
