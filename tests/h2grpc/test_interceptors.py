"""The same interceptor classes on grpc.aio and on h2grpc, called by grpcio's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

import h2grpc
from tests.support.h2grpc_echo import EchoServicer, add_echo

Continuation = Callable[[Any], Awaitable[Any]]


class Notes(grpc.aio.ServerInterceptor):
    """Lets everything pass, and remembers what."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self._name, self._log = name, log

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        who = dict(handler_call_details.invocation_metadata).get("x-who")
        self._log.append((self._name, handler_call_details.method, who))
        handler = await continuation(handler_call_details)
        self._log.append((self._name, handler is not None))
        return handler


class KeyRequired(grpc.aio.ServerInterceptor):
    """As in grpcio's own example: whoever has no key gets another handler."""

    def __init__(self) -> None:
        self._denied: Any = grpc.unary_unary_rpc_method_handler(self._deny)

    async def _deny(self, request: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key")

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        if ("x-key", "secret") in tuple(handler_call_details.invocation_metadata):
            return await continuation(handler_call_details)
        return self._denied


class Waits(grpc.aio.ServerInterceptor):
    def __init__(self) -> None:
        self.asked, self.release = asyncio.Event(), asyncio.Event()

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        self.asked.set()
        await self.release.wait()
        return await continuation(handler_call_details)


class Fails(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        raise ValueError("a secret")


@pytest.fixture(params=["grpc.aio", "h2grpc"])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return grpc.aio.server if request.param == "grpc.aio" else h2grpc.server


@asynccontextmanager
async def serving(
    make: Callable[..., Any], interceptors: Sequence[Any], servicer: EchoServicer | None = None
) -> AsyncIterator[Any]:
    server = make(interceptors=interceptors)
    add_echo(servicer or EchoServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def code_of(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return str(error.value.code().name)


async def test_an_interceptor_sees_path_and_metadata_and_what_comes_of_it(make: Callable[..., Any]) -> None:
    log: list[Any] = []
    async with serving(make, [Notes("one", log)]) as channel:
        await channel.unary_unary("/t.Echo/echo")(b"hello", metadata=(("x-who", "me"),))

    assert log == [("one", "/t.Echo/echo", "me"), ("one", True)]


async def test_an_interceptor_is_asked_about_registered_methods_too(make: Callable[..., Any]) -> None:
    log: list[Any] = []
    server = make(interceptors=[Notes("one", log)])
    handler: Any = grpc.unary_unary_rpc_method_handler(EchoServicer().echo)
    server.add_registered_method_handlers("t.Echo", {"echo": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo: Any = channel.unary_unary("/t.Echo/echo")
        answer = await echo(b"hello")
    await server.stop(None)

    assert (answer, log) == (b"hello", [("one", "/t.Echo/echo", None), ("one", True)])


async def test_the_first_is_asked_first_and_answers_last(make: Callable[..., Any]) -> None:
    log: list[Any] = []
    async with serving(make, [Notes("one", log), Notes("two", log)]) as channel:
        await channel.unary_unary("/t.Echo/echo")(b"hello")

    assert [entry[0] for entry in log] == ["one", "two", "two", "one"]


async def test_all_kinds_of_call_pass(make: Callable[..., Any]) -> None:
    async with serving(make, [Notes("one", [])]) as channel:
        unary = await channel.unary_unary("/t.Echo/echo")(b"hello")
        pour = [part async for part in channel.unary_stream("/t.Echo/split")(b"abc")]
        gather = await channel.stream_unary("/t.Echo/join")(iter([b"a", b"b"]))
        chat = [part async for part in channel.stream_stream("/t.Echo/chat")(iter([b"a", b"b"]))]

    assert (unary, pour, gather, chat) == (b"hello", [b"a", b"b", b"c"], b"ab", [b"A", b"B"])


async def test_an_interceptor_may_turn_a_call_away(make: Callable[..., Any]) -> None:
    async with serving(make, [KeyRequired()]) as channel:
        echo = channel.unary_unary("/t.Echo/echo")

        assert await code_of(echo(b"hello")) == "UNAUTHENTICATED"
        assert await echo(b"hello", metadata=(("x-key", "secret"),)) == b"hello"


async def test_messages_wait_for_an_interceptor_that_takes_its_time(make: Callable[..., Any]) -> None:
    waits = Waits()
    async with serving(make, [waits]) as channel:
        call = channel.stream_stream("/t.Echo/chat")(iter([b"a", b"b"]))
        await waits.asked.wait()
        waits.release.set()

        assert [part async for part in call] == [b"A", b"B"]


async def test_who_leaves_while_an_interceptor_thinks_has_left(make: Callable[..., Any]) -> None:
    waits = Waits()
    async with serving(make, [waits]) as channel:
        call = channel.unary_unary("/t.Echo/echo")(b"hello")
        await waits.asked.wait()
        call.cancel()
        waits.release.set()

        assert await call.code() is grpc.StatusCode.CANCELLED
        assert await channel.unary_unary("/t.Echo/echo")(b"next") == b"next"


async def test_a_method_that_nobody_knows_passes_as_none(make: Callable[..., Any]) -> None:
    log: list[Any] = []
    async with serving(make, [Notes("one", log)]) as channel:
        code = await code_of(channel.unary_unary("/t.Echo/nothing")(b"hello"))

    assert (code, log[-1]) == ("UNIMPLEMENTED", ("one", False))


async def test_an_interceptor_that_fails_fails_the_call_without_its_words(make: Callable[..., Any]) -> None:
    async with serving(make, [Fails()]) as channel:
        call = channel.unary_unary("/t.Echo/echo")(b"hello")
        code, details = await code_of(call), await call.details()

    assert code == "UNKNOWN"
    assert make is grpc.aio.server or "secret" not in details


async def test_a_message_that_comes_after_the_interceptors_is_handled_in_the_same_task() -> None:
    log: list[Any] = []
    passed = asyncio.Event()
    servicer = EchoServicer()

    async def late() -> AsyncIterator[bytes]:
        await passed.wait()
        yield b"hello"

    class Tells(Notes):
        async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
            log.append(asyncio.current_task())
            handler = await super().intercept_service(continuation, handler_call_details)
            passed.set()
            return handler

    async with serving(h2grpc.server, [Tells("one", [])], servicer) as channel:
        await channel.stream_unary("/t.Echo/echo")(late())

    assert [context.task for context in servicer.contexts] == log


async def test_two_messages_for_a_method_that_takes_one_are_refused() -> None:
    async with serving(h2grpc.server, [Notes("one", [])]) as channel:
        code = await code_of(channel.stream_unary("/t.Echo/echo")(iter([b"a", b"b"])))

    assert code == "UNIMPLEMENTED"


async def test_none_for_a_method_that_takes_one_is_refused() -> None:
    async with serving(h2grpc.server, [Notes("one", [])]) as channel:
        code = await code_of(channel.stream_unary("/t.Echo/echo")(iter([])))

    assert code == "UNIMPLEMENTED"
