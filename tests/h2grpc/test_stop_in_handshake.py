"""A server that stops while a client is in the middle of TLS's handshake, on ports of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import ngh2
import pytest
import trustme
import uvloop

import h2grpc
from h2grpc.server import Server
from tests.support.h2grpc_echo import EchoServicer, add_echo


class HalfShaken:
    """A client of HTTP/2 that goes on with its handshake when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self._reader, self._writer = reader, writer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self.engine = ngh2.Connection(ngh2.Role.CLIENT)
        self.engine.initiate_connection()

    async def finish_handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._writer.write(self._out.read())
                self._in.write(await self._reader.read(65536))
            else:
                self._writer.write(self._out.read())
                return

    async def events(self) -> list[Any]:
        """Everything until the server closes."""
        seen: list[Any] = []
        part = b"something"
        while True:
            if data := self.engine.data_to_send():
                self._tls.write(data)
                self._writer.write(self._out.read())
            # The engine is done once the server has said that it goes and nothing is open.
            with suppress(ssl.SSLWantReadError, ngh2.ConnectionStateError):
                while part := self._tls.read():
                    self.engine.receive_data(part)
            seen += self.engine.events()
            if not part or not (more := await self._reader.read(65536)):
                self.hang_up()
                return seen
            self._in.write(more)

    def hang_up(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def shaking(grace: float = 5.0) -> AsyncIterator[tuple[Server, HalfShaken, asyncio.Task[None]]]:
    """A server with one client that has connected and said nothing, and the server's stop, which has begun."""
    ca = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(ours)
    theirs = ssl.create_default_context()
    ca.configure_trust(theirs)
    theirs.set_alpn_protocols(["h2"])
    secured: list[int] = []
    server = h2grpc.server(on_secured=lambda: secured.append(1))
    add_echo(EchoServicer(), server)
    port = server.add_secure_port("127.0.0.1:0", ours)
    await server.start()
    async with asyncio.timeout(20):
        client = HalfShaken(*await asyncio.open_connection("127.0.0.1", port), theirs)
        while server.emptied.is_set():  # noqa: ASYNC110  # nobody announces what was accepted
            await asyncio.sleep(0)
        stop = asyncio.create_task(server.stop(grace))
        await asyncio.sleep(0)
        yield server, client, stop
        await stop
    client.hang_up()


async def test_a_client_in_its_handshake_is_told_to_go_in_good_order() -> None:
    async with shaking() as (server, client, stop):
        await client.finish_handshake()
        seen = await client.events()
        await stop

    assert next(event for event in seen if isinstance(event, ngh2.GoAwayReceived)).error_code == 0
    assert server.counters["accepted"] == 1


async def test_a_call_that_it_sent_at_once_is_answered() -> None:
    headers = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/t.Echo/echo")]
    async with shaking() as (_, client, stop):
        await client.finish_handshake()
        stream = client.engine.send_request([*headers, (b"content-type", b"application/grpc")])
        client.engine.send_data(stream, b"\0\0\0\0\x05hello", end_stream=True)
        seen = await client.events()
        await stop

    assert [event.data for event in seen if isinstance(event, ngh2.DataReceived)] == [b"\0\0\0\0\x05hello"]


def test_a_client_that_leaves_in_its_handshake_holds_nobody_up() -> None:
    async def leave() -> bool:
        async with shaking(grace=15.0) as (server, client, stop):
            client.hang_up()
            async with asyncio.timeout(10):
                await stop
            return server.emptied.is_set()

    # asyncio's own loop lets go of a handshake that failed only when garbage is collected.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(leave())


async def test_a_client_that_says_nothing_is_not_waited_for_beyond_the_grace() -> None:
    async with shaking(grace=0.01) as (server, _, stop):
        await stop

    assert server.counters["accepted"] == 0


@pytest.mark.parametrize("grace", [0.0])
async def test_who_comes_when_all_is_over_is_told_so(grace: float) -> None:
    async with shaking(grace) as (server, client, stop):
        await stop
        await client.finish_handshake()
        seen = await client.events()

    assert [event.error_code for event in seen if isinstance(event, ngh2.GoAwayReceived)] == [0]
    assert server.counters["refused_connections"] == 1
