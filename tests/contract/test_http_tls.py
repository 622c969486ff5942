"""The port over real TLS: who shows a certificate, and who is in the middle of a handshake when a drain begins."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trustme
import uvloop

from gateway.core.access import ClientCertificate
from gateway.edge.config import EdgeConfig
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_route import Route
from gateway.edge.http_score import encode_score_error
from tests.support.edge_app import Edge, serving
from tests.support.edge_service import FakeCore

CONFIG = EdgeConfig(host="127.0.0.1", http_port=0)
GET = b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n"
BOUND = 10.0


class HalfShaken:
    """A client over TLS that goes on with its handshake when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self._reader, self._writer = reader, writer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")

    def say_hello(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._writer.write(self._out.read())

    async def finish_handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._in.write(await self._reader.read(65536))
            else:
                self._writer.write(self._out.read())
                return

    async def ask(self, data: bytes) -> bytes:
        """Everything that comes until the server closes."""
        self._tls.write(data)
        self._writer.write(self._out.read())
        answer = b""
        while more := await self._reader.read(65536):
            self._in.write(more)
            with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while part := self._tls.read():
                    answer += part
        return answer

    def hang_up(self) -> None:
        self._writer.transport.abort()


class Tls:
    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("localhost").configure_cert(self.server)
        self.ca.configure_trust(self.server)
        self.server.verify_mode = ssl.CERT_OPTIONAL

    def client(self, mine: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if mine is not None:
            mine.configure_cert(context)
        return context

    async def connect(self, edge: Edge) -> HalfShaken:
        return HalfShaken(*await asyncio.open_connection("127.0.0.1", edge.port), self.client())


@pytest.fixture(scope="module")
def tls() -> Tls:
    return Tls()


@asynccontextmanager
async def telling(tls: Tls, seen: list[HttpRequest]) -> AsyncIterator[Edge]:
    async def who(request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        seen.append(request)
        return HttpResponse(200, b"you")

    route = Route(method="GET", pattern="/who", handler=who, encode_error=partial(encode_score_error, "managed"))
    async with (
        asyncio.timeout(BOUND),
        serving(FakeCore(), config=CONFIG, ssl_context=tls.server, extra=[route]) as edge,
    ):
        yield edge


async def turns() -> None:
    """More than a drain would need that waits for nobody."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(holds: Any) -> None:
    """Bounded by the timeout around the test's server."""
    while not holds():  # noqa: ASYNC110  # nobody announces it
        await asyncio.sleep(0)


@pytest.mark.usefixtures("http_engine")
async def test_each_request_of_a_connection_has_the_certificate_that_its_client_showed(tls: Tls) -> None:
    seen: list[HttpRequest] = []
    context = tls.client(tls.ca.issue_cert("scorer.example", common_name="scorer"))
    async with telling(tls, seen) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.port, ssl=context)
        for _ in range(2):
            writer.write(GET)
            await reader.readuntil(b"you")
        writer.close()

    assert [request.certificate for request in seen] == [ClientCertificate("scorer", ("scorer.example",))] * 2


@pytest.mark.usefixtures("http_engine")
async def test_who_shows_no_certificate_has_none(tls: Tls) -> None:
    seen: list[HttpRequest] = []
    async with telling(tls, seen) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.port, ssl=tls.client())
        writer.write(GET)
        await reader.readuntil(b"you")
        writer.close()

    assert [request.certificate for request in seen] == [None]


async def test_a_connection_takes_its_client_s_certificate_once(tls: Tls) -> None:
    seen: list[HttpRequest] = []
    context = tls.client(tls.ca.issue_cert("scorer.example"))
    async with telling(tls, seen) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.port, ssl=context)
        for _ in range(2):
            writer.write(GET)
            await reader.readuntil(b"you")
        writer.close()

    assert seen[0].certificate is seen[1].certificate


async def test_who_is_in_a_handshake_when_a_drain_begins_is_answered_and_told_to_close(tls: Tls) -> None:
    async with telling(tls, []) as edge:
        client = await tls.connect(edge)
        client.say_hello()
        await until(lambda: edge.server._door.is_expecting)  # type: ignore[attr-defined]
        drain = asyncio.create_task(edge.server.drain(BOUND))
        await asyncio.sleep(0)
        await turns()
        await client.finish_handshake()
        await until(lambda: not edge.server._door.is_expecting)  # type: ignore[attr-defined]
        await turns()
        is_over = drain.done()
        answer = await client.ask(GET)
        await drain
        client.hang_up()
        await turns()

    assert not is_over
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.usefixtures("http_engine")
async def test_who_leaves_in_the_middle_of_a_handshake_does_not_hold_up_a_drain(tls: Tls) -> None:
    if not isinstance(asyncio.get_running_loop(), uvloop.Loop):
        pytest.skip("asyncio's own loop lets go of a failed handshake only when garbage is collected")
    async with telling(tls, []) as edge:
        client = await tls.connect(edge)
        await until(lambda: edge.server._door.is_expecting)  # type: ignore[attr-defined]
        drain = asyncio.create_task(edge.server.drain(BOUND))
        await asyncio.sleep(0)
        client.hang_up()
        await drain

        assert not edge.server._door.is_expecting  # type: ignore[attr-defined]


async def test_a_drain_does_not_wait_longer_than_it_may_for_a_handshake(tls: Tls) -> None:
    async with telling(tls, []) as edge:
        client = await tls.connect(edge)
        await until(lambda: edge.server._door.is_expecting)  # type: ignore[attr-defined]
        await edge.server.drain(0.001)

        assert edge.server._door.is_expecting  # type: ignore[attr-defined]

        client.hang_up()
