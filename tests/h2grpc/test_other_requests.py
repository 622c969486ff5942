"""Requests over HTTP/2 that are no gRPC, on the same connections: curl asks, and a function answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import ngh2
import pytest
import trustme

import h2grpc
from h2grpc import OtherAnswer, OtherRequest
from h2grpc.counters import Counters
from h2grpc.events import OtherArrived, OtherLost
from h2grpc.limits import Limits
from h2grpc.server_protocol import ServerConnection
from tests.support.h2grpc_echo import EchoServicer, add_echo
from tests.support.h2grpc_frames import END_HEADERS, GREETING, HEADERS, RST, frame
from tests.support.h2grpc_wire import of


class Rest:
    def __init__(self) -> None:
        self.asked: list[OtherRequest] = []

    async def __call__(self, request: OtherRequest) -> OtherAnswer:
        self.asked.append(request)
        if request.path == b"/crash":
            raise ValueError("a secret")
        return OtherAnswer(201, ((b"content-type", b"text/plain"), (b"x-seen", request.method)), request.body.upper())


@asynccontextmanager
async def serving(rest: Rest, limits: Limits | None = None) -> AsyncIterator[int]:
    server = h2grpc.server(other_requests=rest, limits=limits)
    add_echo(EchoServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(20):
        yield port
    await server.stop(None)


async def curl(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "15", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_a_request_with_a_body_is_answered() -> None:
    rest = Rest()
    async with serving(rest) as port:
        said = await curl("--http2-prior-knowledge", "-i", "-d", "hello", f"http://127.0.0.1:{port}/score?x=1")

    assert said.startswith("HTTP/2 201")
    assert "x-seen: POST" in said
    assert said.endswith("HELLO")
    assert (rest.asked[0].path, rest.asked[0].peer[:15]) == (b"/score?x=1", "ipv4:127.0.0.1:")


@pytest.mark.parametrize("expect", [b"100-continue", b"something"])
def test_a_client_that_waits_to_be_told_so_is_told_to_go_on(expect: bytes) -> None:
    server = ServerConnection(Limits(), Counters(), 0.0, serves_others=True)
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    names = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"x")]
    stream = client.send_request([*names, (b"expect", expect)])
    server.receive(client.data_to_send(), 0.0)
    client.receive_data(server.data_to_send())
    told = [event.headers for event in client.events() if isinstance(event, ngh2.InformationalResponseReceived)]
    client.send_data(stream, bytes(5), end_stream=True)
    server.receive(client.data_to_send(), 0.0)

    assert told == ([((b":status", b"100"),)] if expect == b"100-continue" else [])
    assert [event.request.body for event in of(server.events(), OtherArrived)] == [bytes(5)]


async def test_a_head_request_has_no_body() -> None:
    async with serving(Rest()) as port:
        said = await curl("--http2-prior-knowledge", "-I", f"http://127.0.0.1:{port}/")

    assert said.startswith("HTTP/2 201")


async def test_large_bodies_go_both_ways(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * 3_000_000)
    async with serving(Rest()) as port:
        said = await curl("--http2-prior-knowledge", "--data-binary", f"@{body}", f"http://127.0.0.1:{port}/")

    assert said == "X" * 3_000_000


async def test_a_body_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * 3_000_000)
    async with serving(Rest(), Limits(max_receive_message=1_000_000)) as port:
        said = await curl(
            "--http2-prior-knowledge",
            "-o",
            "-",
            "-w",
            "%{http_code}",
            "--data-binary",
            f"@{body}",
            f"http://127.0.0.1:{port}/",
        )

    assert said.startswith("413")


async def test_a_handler_that_crashes_is_a_500_without_its_words() -> None:
    async with serving(Rest()) as port:
        said = await curl("--http2-prior-knowledge", "-i", f"http://127.0.0.1:{port}/crash")

    assert said.startswith("HTTP/2 500")
    assert "secret" not in said


async def test_calls_and_requests_share_a_port() -> None:
    async with serving(Rest()) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo: Any = channel.unary_unary("/t.Echo/echo")
        answer = await echo(b"gRPC")
        said = await curl("--http2-prior-knowledge", "-d", "rest", f"http://127.0.0.1:{port}/")

    assert (answer, said) == (b"gRPC", "REST")


async def test_a_transport_accepted_elsewhere_is_served_with_the_bytes_it_had_already() -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = h2grpc.server(other_requests=Rest())

    class Front(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            protocol = server.protocol_factory()
            self.transport.set_protocol(protocol)
            protocol.connection_made(self.transport)
            protocol.data_received(data)

    front = await asyncio.get_running_loop().create_server(Front, "127.0.0.1", 0, ssl=context)
    port = front.sockets[0].getsockname()[1]
    with authority.cert_pem.tempfile() as trusted:
        said = await curl("--http2", "--cacert", trusted, "-d", "over tls", f"https://localhost:{port}/")
    front.close()
    await server.stop(None)

    assert said == "OVER TLS"


@pytest.mark.parametrize("serves", [True, False])
def test_one_who_leaves_is_told_to_the_handler(serves: bool) -> None:
    server = ServerConnection(Limits(), h2grpc.Counters(), 0.0, serves_others=serves)
    block = bytes([0x82, 0x84, 0x86, 0x41, 1]) + b"x"  # GET / http, authority x
    server.receive(GREETING + frame(HEADERS, END_HEADERS | 1, 1, block), 0.0)
    arrived = of(server.events(), OtherArrived)
    server.receive(frame(RST, 0, 1, b"\0\0\0\x08"), 0.0)
    lost = of(server.events(), OtherLost)

    assert (len(arrived), len(lost)) == (int(serves), int(serves))
