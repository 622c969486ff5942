"""``listen`` and ``write_nowait`` of both ends: messages of a stream without a task and without a turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

import h2grpc
from h2grpc import CLIENT_LIMITS, ChannelConfig, Limits, RpcError, Status
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.h2grpc.scripted_server import HEAD, Session, scripted

AT_ONCE = ChannelConfig(max_replay=0)
Handler = Callable[[Any, Any], AsyncIterator[bytes]]


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/socket"


class OneMethod(grpc.GenericRpcHandler):
    def __init__(self, handler: Handler, read: Callable[[bytes], Any] | None = None) -> None:
        self._handler, self._read = handler, read

    def service(self, _details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self._handler, self._read)


async def serve(address: str, method: OneMethod, limits: Limits | None = None) -> h2grpc.Server:
    server = h2grpc.server(limits=limits)
    server.add_generic_rpc_handlers((method,))
    server.add_insecure_port(address)
    await server.start()
    return server


def listening(answer: Callable[[Any, bytes], None]) -> Handler:
    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        context.listen(lambda message: answer(context, message))
        async for message in requests:
            yield b"read: " + message

    return handler


class Gathered:
    """What a listener of a client was given."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._wanted, self._there = 0, asyncio.Event()

    def __call__(self, message: bytes) -> None:
        self.messages.append(message)
        if len(self.messages) == self._wanted:
            self._there.set()

    async def first(self, count: int) -> list[bytes]:
        self._wanted = count
        if len(self.messages) < count:
            await self._there.wait()
        return self.messages


def echo(context: Any, message: bytes) -> None:
    assert context.write_nowait(message)


async def test_a_handler_that_listens_is_given_every_message_in_order_and_reads_only_the_end(address: str) -> None:
    server = await serve(address, OneMethod(listening(echo)))
    async with h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        call = channel.stream_stream("/echo/echo")()
        sent = [bytes([number]) * (1 + number) for number in range(200)]
        for message in sent:
            await call.write(message)
        await call.done_writing()

        assert [message async for message in call] == sent
        assert await call.code() is Status.OK

    await server.stop(None)


async def test_what_came_before_a_handler_listens_is_given_to_its_listener(address: str) -> None:
    began = asyncio.Event()

    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        yield await context.read()
        await began.wait()
        context.listen(lambda message: echo(context, b"heard: " + message))
        async for message in requests:
            yield b"read: " + message

    server = await serve(address, OneMethod(handler))
    async with h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        call = channel.stream_stream("/echo/echo")()
        for message in (b"1", b"2", b"3"):
            await call.write(message)
        first = await call.read()
        began.set()
        await call.done_writing()

        assert [first] + [message async for message in call] == [b"1", b"heard: 2", b"heard: 3"]

    await server.stop(None)


async def test_a_message_that_cannot_be_read_ends_the_call_of_a_handler_that_listens(address: str) -> None:
    def read(data: bytes) -> str:
        return data.decode("ascii")

    server = await serve(address, OneMethod(listening(lambda context, text: echo(context, b"ok")), read))
    async with h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        call = channel.stream_stream("/echo/echo")()
        await call.write(b"abc")
        first = await call.read()
        await call.write(b"\xff")
        with pytest.raises(RpcError) as caught:
            await call.read()

    assert (first, caught.value.code()) == (b"ok", Status.INTERNAL)
    await server.stop(None)


async def test_what_is_written_at_once_by_a_handler_keeps_its_place_among_what_it_yields(address: str) -> None:
    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        context.write_nowait(b"1")
        yield b"2"
        context.write_nowait(b"3")
        context.write_nowait(b"4")
        yield b"5"

    server = await serve(address, OneMethod(handler))
    async with h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        call = channel.stream_stream("/echo/echo")()

        assert [message async for message in call] == [b"1", b"2", b"3", b"4", b"5"]

    await server.stop(None)


async def test_a_handler_cannot_write_at_once_to_who_does_not_read_nor_more_than_its_limit(address: str) -> None:
    said: list[list[bool]] = []

    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        too_long = context.write_nowait(bytes(100_001))
        said.append([context.write_nowait(bytes(100_000)) for _ in range(20)] + [too_long])
        yield b"end"

    server = await serve(address, OneMethod(handler), Limits(max_send_message=100_000))
    async with h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        call = channel.stream_stream("/echo/echo")()
        messages = [len(message) async for message in call]

        assert said[0][0]
        assert not any(said[0][-10:])
        assert messages == [100_000] * sum(said[0]) + [3]

    await server.stop(None)


async def test_nothing_can_be_written_at_once_to_a_caller_who_has_left(address: str) -> None:
    contexts: list[Any] = []
    gone = asyncio.Event()

    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        contexts.append(context)
        context.add_done_callback(lambda _: gone.set())
        yield b"here"
        await asyncio.Event().wait()

    server = await serve(address, OneMethod(handler))
    async with h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        call = channel.stream_stream("/echo/echo")()
        await call.read()
        call.cancel()
        await gone.wait()

        assert contexts[0].write_nowait(b"late") is False

    await server.stop(None)


async def test_a_client_that_listens_may_write_at_once_from_its_listener(address: str) -> None:
    server = await serve(address, OneMethod(listening(echo)))
    async with h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        call = channel.stream_stream("/echo/echo")()
        await call.write(b"0")
        gathered = Gathered()

        def next_one(message: bytes) -> None:
            gathered(message)
            if len(gathered.messages) < 500:
                assert call.write_nowait(b"%d" % len(gathered.messages))

        call.listen(next_one)

        assert await gathered.first(500) == [b"%d" % number for number in range(500)]

    await server.stop(None)


async def test_a_client_cannot_write_at_once_to_a_server_that_does_not_read_and_loses_nothing(address: str) -> None:
    released = asyncio.Event()

    async def deaf(requests: Any, context: Any) -> AsyncIterator[bytes]:
        await released.wait()
        async for message in requests:
            yield b"%d" % len(message)

    server = await serve(address, OneMethod(deaf))
    async with h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        await channel.channel_ready()
        call = channel.stream_stream("/echo/deaf")()
        await call.write(b"")
        said = [call.write_nowait(bytes(50_000)) for _ in range(40)]
        released.set()
        await call.write(b"last")
        await call.done_writing()
        lengths = [int(message) async for message in call]

    assert said[0]
    assert not any(said[-10:])
    assert lengths == [0, *[50_000] * sum(said), 4]
    await server.stop(None)


async def test_a_request_over_the_limit_fails_its_call_however_it_is_written(address: str) -> None:
    server = await serve(address, OneMethod(listening(echo)))
    limits = replace(CLIENT_LIMITS, max_send_message=1_000)
    async with h2grpc.insecure_channel(address, config=replace(AT_ONCE, limits=limits)) as channel:
        call = channel.stream_stream("/echo/echo")()
        await call.write(b"1")
        await call.read()
        call.write_nowait(bytes(1_001))

        assert await call.code() is Status.RESOURCE_EXHAUSTED

    await server.stop(None)


async def test_a_call_that_has_ended_in_the_same_bytes_takes_no_more(tmp_path: Path, address: str) -> None:
    def script(session: Session, event: Any) -> None:
        if type(event).__name__ == "DataReceived" and event.data:
            session.engine.send_response(event.stream_id, HEAD)
            session.engine.send_data(event.stream_id, b"\0\0\0\0\x01a")
            session.engine.send_trailers(event.stream_id, [(b"grpc-status", b"14")])

    said: list[bool] = []
    async with scripted(tmp_path / "socket", script), h2grpc.insecure_channel(address, config=AT_ONCE) as channel:
        call = channel.stream_stream("/x/y")()
        call.listen(lambda _: said.append(call.write_nowait(b"more")))
        await call.write(b"1")

        assert await call.code() is Status.UNAVAILABLE
        assert said == [False]
