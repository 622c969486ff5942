"""What both ports speak at the level of TLS, whichever engines run them."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.edge.config import EdgeConfig, GrpcEngineName, HttpEngineName
from tests.support.oip_edge import OipEdge, serving
from tests.support.tls_files import ServerFiles

ENGINES: list[tuple[HttpEngineName, GrpcEngineName]] = [("httptools", "h2grpc"), ("aiohttp", "grpcio")]
PATIENCE = 30
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
HEALTH = b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
PORTS = ["http", "grpc"]


@pytest.fixture
def server(tmp_path: Path) -> ServerFiles:
    return ServerFiles.made(tmp_path)


@pytest.fixture(params=ENGINES, ids="+".join)
async def edge(request: pytest.FixtureRequest, tmp_path: Path, server: ServerFiles) -> AsyncIterator[OipEdge]:
    http, rpc = request.param
    config = EdgeConfig(host="localhost", http_port=0, grpc_port=0, http_engine=http, grpc_engine=rpc)
    async with asyncio.timeout(PATIENCE), serving(tmp_path, config=config, server=server) as edge:
        yield edge
        gc.collect()  # asyncio's own loop lets go of handshakes that failed only then, and a drain waits for them


def port_of(edge: OipEdge, which: str) -> int:
    return edge.http_server.port if which == "http" else edge.grpc_server.port


def connect(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """After a first word from the server, so that its tickets are here."""
    connection = socket.create_connection(("localhost", port), PATIENCE)
    tls = context.wrap_socket(connection, server_hostname="localhost", session=session)
    tls.sendall(PREFACE if tls.selected_alpn_protocol() == "h2" else HEALTH)
    assert tls.recv(9)
    return tls


@pytest.mark.parametrize("which", PORTS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_is_resumed(edge: OipEdge, server: ServerFiles, which: str, version: ssl.TLSVersion) -> None:
    context = server.client()
    context.set_alpn_protocols(["h2"] if which == "grpc" else ["http/1.1"])
    context.minimum_version = context.maximum_version = version

    def twice() -> tuple[bool | None, bool | None]:
        with connect(port_of(edge, which), context) as first:
            session, was_known = first.session, first.session_reused
        with connect(port_of(edge, which), context, session) as second:
            return was_known, second.session_reused

    assert await asyncio.to_thread(twice) == (False, True)


@pytest.mark.parametrize(
    ("which", "offered", "chosen"),
    [
        ("http", ["http/1.1"], "http/1.1"),
        ("http", [], None),
        ("grpc", ["h2"], "h2"),
        ("grpc", ["http/1.1", "h2"], "h2"),
    ],
)
async def test_the_protocol_is_agreed_on_by_alpn(
    edge: OipEdge, server: ServerFiles, which: str, offered: list[str], chosen: str | None
) -> None:
    context = server.client()
    if offered:
        context.set_alpn_protocols(offered)

    def choice() -> str | None:
        with connect(port_of(edge, which), context) as tls:
            return tls.selected_alpn_protocol()

    assert await asyncio.to_thread(choice) == chosen


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("which", PORTS)
async def test_nothing_older_than_tls_1_2_is_spoken(edge: OipEdge, server: ServerFiles, which: str) -> None:
    context = server.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(connect, port_of(edge, which), context)


@pytest.mark.parametrize("which", PORTS)
@pytest.mark.parametrize(
    ("suite", "is_spoken"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("AES128-GCM-SHA256", False),
        ("ECDHE-ECDSA-AES128-SHA256", False),
        ("ECDHE-ECDSA-AES128-SHA", False),
    ],
)
async def test_only_suites_with_forward_secrecy_and_authenticated_encryption_are_spoken(
    edge: OipEdge, server: ServerFiles, which: str, suite: str, is_spoken: bool
) -> None:
    context = server.client()
    context.set_alpn_protocols(["h2"] if which == "grpc" else ["http/1.1"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suite)

    def is_taken() -> bool:
        try:
            connect(port_of(edge, which), context).close()
        except (ssl.SSLError, ConnectionError):
            return False
        return True

    assert await asyncio.to_thread(is_taken) == is_spoken
