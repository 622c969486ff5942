"""grpcio's synchronous half, both ways: its client in a thread, and its server of threads."""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
import trustme

import h2grpc
from h2grpc.limits import Limits
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.support.h2grpc_echo import EchoServicer, add_echo

R = TypeVar("R")

LARGE = 64 << 20
LIMITS = Limits(max_receive_message=LARGE + 1, resets=(10_000, 1_000))
PATIENT = [("grpc.server.max_pending_requests", 10_000), ("grpc.server.max_pending_requests_hard_limit", 20_000)]
"""Its servers cancel calls when more than a thousand wait for a thread."""
BIG = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Blocking:
    """A synchronous channel to our server; each of its calls is made by a thread of its own."""

    def __init__(self, channel: grpc.Channel, server: h2grpc.Server, servicer: EchoServicer) -> None:
        self.channel, self.server, self.servicer = channel, server, servicer

    def unary(self, name: str) -> Any:
        return self.channel.unary_unary(f"/t.Echo/{name}")

    async def apart(self, work: Callable[[], R]) -> R:
        return await asyncio.to_thread(work)


@pytest.fixture(params=["tcp", "tls"])
async def blocking(request: pytest.FixtureRequest) -> AsyncIterator[Blocking]:
    server, servicer = h2grpc.server(limits=LIMITS), EchoServicer()
    add_echo(servicer, server)
    if request.param == "tcp":
        port = server.add_insecure_port("127.0.0.1:0")
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=BIG)
    else:
        authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        port = server.add_secure_port("127.0.0.1:0", context)
        credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        channel = grpc.secure_channel(f"localhost:{port}", credentials, options=BIG)
    await server.start()
    try:
        yield Blocking(channel, server, servicer)
    finally:
        await asyncio.to_thread(channel.close)
        await server.stop(None)
    assert server.counters["held_bytes"] == 0


async def test_its_client_makes_all_four_kinds_of_calls(blocking: Blocking) -> None:
    channel: Any = blocking.channel

    def calls() -> list[Any]:
        return [
            channel.unary_unary("/t.Echo/echo")(b"one"),
            list(channel.unary_stream("/t.Echo/split")(b"abc")),
            channel.stream_unary("/t.Echo/join")(iter([b"ab", b"cd"])),
            list(channel.stream_stream("/t.Echo/chat")(iter([b"a", b"b"]))),
        ]

    assert await blocking.apart(calls) == [b"one", [b"a", b"b", b"c"], b"abcd", [b"A", b"B"]]


async def test_its_client_sends_and_gets_64_megabytes(blocking: Blocking) -> None:
    message = bytes(range(256)) * (LARGE // 256)

    assert await blocking.apart(lambda: blocking.unary("echo")(message)) == message


async def test_its_client_gets_metadata_both_ways(blocking: Blocking) -> None:
    sent = [("x-a", "1"), ("x-b-bin", b"\x00\x80")]
    answer, call = await blocking.apart(lambda: blocking.unary("headers").with_call(b"", metadata=sent))

    assert answer == repr(sent).encode()
    assert dict(call.initial_metadata()) == {"early": "yes", "early-bin": b"\x01"}
    assert dict(call.trailing_metadata()) == {"late": "yes"}


async def test_its_client_gets_status_details_and_trailers(blocking: Blocking) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        await blocking.apart(lambda: blocking.unary("abort")("100 % schön\n".encode()))
    error: Any = caught.value

    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "100 % schön\n")
    assert dict(error.trailing_metadata()) == {"reason": "test", "detail-bin": b"\x00\xff"}


async def test_its_clients_deadline_ends_the_call_and_its_handler(blocking: Blocking) -> None:
    servicer = blocking.servicer
    for seconds in (0.1, 1.0, 10.0):  # a busy machine may take longer than the first to connect
        with pytest.raises(grpc.RpcError) as caught:
            await blocking.apart(partial(blocking.unary("wait"), b"", timeout=seconds))
        if servicer.started.is_set():
            break
    error: Any = caught.value
    await servicer.cancelled.wait()
    while servicer.running:  # of two that began
        servicer.cancelled.clear()
        await servicer.cancelled.wait()

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_five_thousand_of_its_calls_end_as_they_were_meant_to_and_each_once(blocking: Blocking) -> None:
    dice = random.Random(5)
    servicer, ends, all_ended = blocking.servicer, Counter[int](), threading.Event()
    is_cancelled = [dice.random() < 0.5 for _ in range(5_000)]
    servicer.crowd = len(is_cancelled)

    def start(count: int, timeout: Callable[[], float | None]) -> list[Any]:
        wait, first = blocking.unary("wait"), len(started)
        futures = [wait.future(b"%d" % (first + at), timeout=timeout()) for at in range(count)]
        for at, future in enumerate(futures):
            future.add_done_callback(lambda _, at=at: end(first + at))
        started.extend(futures)
        return futures

    def end(number: int) -> None:
        ends[number] += 1
        if ends.total() == 6_000:
            all_ended.set()

    def cancel() -> set[str]:
        chosen = [future for future, is_it in zip(started, is_cancelled, strict=False) if is_it]
        for future in chosen:
            future.cancel()
        return codes(chosen)

    def answers() -> list[bytes]:
        return [future.result() for future, is_it in zip(started, is_cancelled, strict=False) if not is_it]

    started: list[Any] = []
    await blocking.apart(lambda: start(5_000, lambda: None))
    await servicer.is_crowded.wait()
    expired = await blocking.apart(lambda: codes(start(1_000, lambda: dice.choice((0.0, 0.001, 0.05, 0.3)))))
    cancelled = await blocking.apart(cancel)
    servicer.release.set()
    answered = await blocking.apart(answers)
    await blocking.apart(lambda: blocking.unary("echo")(b"behind everything that was cancelled"))
    await blocking.apart(lambda: all_ended.wait(30))

    assert expired == {"DEADLINE_EXCEEDED"}
    assert cancelled == {"CANCELLED"}
    assert answered == [b"%d" % at for at, is_it in enumerate(is_cancelled) if not is_it]
    assert ends == Counter(range(6_000))
    assert servicer.running == 0
    assert [len(connection.connection.calls) for connection in blocking.server.connections] == [0]


def codes(futures: list[Any]) -> set[str]:
    """When all of them have ended."""
    return {future.code().name for future in futures}


class Threads:
    """The same methods as ``EchoServicer``'s, as far as needed, run by grpcio's threads."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.left = threading.Event()
        """A caller went."""

    def echo(self, request: bytes, context: Any) -> bytes:
        seen = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-")]
        context.send_initial_metadata(tuple(seen))
        context.set_trailing_metadata((("late-bin", b"\x00\xff"),))
        return request

    def wait(self, request: bytes, context: Any) -> bytes:
        context.add_callback(self.left.set)
        self.release.wait()
        return request

    def abort(self, request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.decode())
        return b"never"

    def split(self, request: bytes, context: Any) -> Iterator[bytes]:
        for byte in request:
            yield bytes([byte])

    def pour(self, request: bytes, context: Any) -> Iterator[bytes]:
        context.add_callback(self.left.set)
        while context.is_active():
            yield bytes(int(request))

    def join(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b"".join(requests)

    def chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for part in requests:
            yield part.upper()

    def handlers(self) -> dict[str, Any]:
        return {
            "echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "wait": grpc.unary_unary_rpc_method_handler(self.wait),
            "abort": grpc.unary_unary_rpc_method_handler(self.abort),
            "split": grpc.unary_stream_rpc_method_handler(self.split),
            "pour": grpc.unary_stream_rpc_method_handler(self.pour),
            "join": grpc.stream_unary_rpc_method_handler(self.join),
            "chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }


class Threaded:
    """Our channel to its server."""

    def __init__(self, channel: h2grpc.Channel, servicer: Threads) -> None:
        self.channel, self.servicer = channel, servicer

    def unary(self, name: str) -> Any:
        return self.channel.unary_unary(f"/t.Echo/{name}")


@pytest.fixture
async def threaded(tmp_path: Path) -> AsyncIterator[Threaded]:
    servicer = Threads()
    server = grpc.server(ThreadPoolExecutor(8), options=[*BIG, *PATIENT])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Echo", servicer.handlers()),))
    address = f"unix:{tmp_path}/socket"
    server.add_insecure_port(address)
    server.start()
    config = h2grpc.ChannelConfig(limits=replace(h2grpc.CLIENT_LIMITS, max_receive_message=LARGE + 1))
    try:
        async with h2grpc.insecure_channel(address, config=config) as channel:
            yield Threaded(channel, servicer)
            held = channel.counters["held_bytes"]
    finally:
        servicer.release.set()
        await asyncio.to_thread(server.stop(None).wait)
    assert held == 0


async def test_its_server_answers_all_four_kinds_of_calls(threaded: Threaded) -> None:
    channel = threaded.channel
    split: Any = channel.unary_stream("/t.Echo/split")
    join: Any = channel.stream_unary("/t.Echo/join")
    chat: Any = channel.stream_stream("/t.Echo/chat")

    assert await threaded.unary("echo")(b"one") == b"one"
    assert [part async for part in split(b"abc")] == [b"a", b"b", b"c"]
    assert await join(iter([b"ab", b"cd"])) == b"abcd"
    assert [part async for part in chat(iter([b"a", b"b"]))] == [b"A", b"B"]


async def test_its_server_takes_and_gives_64_megabytes(threaded: Threaded) -> None:
    message = bytes(range(256)) * (LARGE // 256)

    assert await threaded.unary("echo")(message) == message


async def test_its_server_sends_metadata_both_ways(threaded: Threaded) -> None:
    call = threaded.unary("echo")(b"", metadata=(("x-a", "1"), ("x-b-bin", b"\x00\x80")))
    await call

    assert {("x-a", "1"), ("x-b-bin", b"\x00\x80")} <= set(await call.initial_metadata())
    assert dict(await call.trailing_metadata()) == {"late-bin": b"\x00\xff"}


async def test_its_servers_status_is_told(threaded: Threaded) -> None:
    with pytest.raises(h2grpc.RpcError) as caught:
        await threaded.unary("abort")("100 % schön\n".encode())

    assert caught.value.code() is h2grpc.Status.FAILED_PRECONDITION
    assert caught.value.details() == "100 % schön\n"


async def test_a_deadline_is_kept_while_its_server_waits_and_the_server_is_told(threaded: Threaded) -> None:
    with pytest.raises(h2grpc.RpcError) as caught:
        await threaded.unary("wait")(b"", timeout=0.2)

    assert caught.value.code() is h2grpc.Status.DEADLINE_EXCEEDED
    assert await asyncio.to_thread(threaded.servicer.left.wait, 30)


async def test_a_stream_that_is_left_in_the_middle_ends_at_its_server(threaded: Threaded) -> None:
    pour: Any = threaded.channel.unary_stream("/t.Echo/pour")
    call = pour(b"1000")
    await call.read()
    call.cancel()

    assert await asyncio.to_thread(threaded.servicer.left.wait, 30)
    assert await threaded.unary("echo")(b"still here") == b"still here"


async def test_five_thousand_calls_at_once_are_answered_by_its_eight_threads(threaded: Threaded) -> None:
    echo = threaded.unary("echo")
    answers = await asyncio.gather(*(echo(b"%d" % number) for number in range(5_000)))

    assert answers == [b"%d" % number for number in range(5_000)]
