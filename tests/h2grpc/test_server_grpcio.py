"""The server with real clients of grpcio over real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme

import h2grpc
from h2grpc.limits import Limits
from tests.support.h2grpc_echo import EchoServicer, add_echo

BOUND = 30
BIG = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Stack:
    def __init__(self, server: h2grpc.Server, servicer: EchoServicer, channel: grpc.aio.Channel) -> None:
        self.server, self.servicer, self.channel = server, servicer, channel

    def unary(self, name: str) -> Any:
        return self.channel.unary_unary(f"/t.Echo/{name}")

    def pour(self, name: str = "split") -> Any:
        return self.channel.unary_stream(f"/t.Echo/{name}")

    def gather(self, name: str = "join") -> Any:
        return self.channel.stream_unary(f"/t.Echo/{name}")

    def chat(self, name: str = "chat") -> Any:
        return self.channel.stream_stream(f"/t.Echo/{name}")


@asynccontextmanager
async def serving(
    address: str, tls: trustme.CA | None = None, *, grace: float | None = None, **options: Any
) -> AsyncIterator[Stack]:
    server, servicer = h2grpc.server(**options), EchoServicer()
    add_echo(servicer, server)
    if tls is None:
        port = server.add_insecure_port(address)
        target = address if address.startswith("unix:") else f"127.0.0.1:{port}"
        channel = grpc.aio.insecure_channel(target, options=BIG)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.issue_cert("localhost").configure_cert(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        tls.configure_trust(context)
        port = server.add_secure_port(address, context)
        mine = tls.issue_cert("caller.test")
        credentials = grpc.ssl_channel_credentials(
            tls.cert_pem.bytes(), mine.private_key_pem.bytes(), b"".join(pem.bytes() for pem in mine.cert_chain_pems)
        )
        channel = grpc.aio.secure_channel(f"localhost:{port}", credentials, options=BIG)
    await server.start()
    try:
        async with asyncio.timeout(BOUND), channel:
            yield Stack(server, servicer, channel)
    finally:
        await server.stop(grace)


@pytest.fixture(params=["tcp", "tls", "unix"])
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    if request.param == "unix":
        yield {"address": f"unix:{tmp_path}/echo.sock"}
    else:
        yield {"address": "127.0.0.1:0", "tls": trustme.CA() if request.param == "tls" else None}


async def test_a_unary_call_is_answered(wire: dict[str, Any]) -> None:
    async with serving(**wire) as stack:
        assert await stack.unary("echo")(b"hello") == b"hello"


async def test_an_empty_message_is_a_message(wire: dict[str, Any]) -> None:
    async with serving(**wire) as stack:
        assert await stack.unary("echo")(b"") == b""


async def test_a_server_stream_arrives_in_order(wire: dict[str, Any]) -> None:
    async with serving(**wire) as stack:
        parts = [part async for part in stack.pour()(b"abcdef")]

        assert parts == [b"a", b"b", b"c", b"d", b"e", b"f"]


async def test_a_client_stream_is_read_to_its_end(wire: dict[str, Any]) -> None:
    async with serving(**wire) as stack:
        assert await stack.gather()(iter([b"ab", b"", b"cd"])) == b"abcd"


async def test_a_conversation_goes_both_ways_at_once(wire: dict[str, Any]) -> None:
    async with serving(**wire) as stack:
        call = stack.chat()()
        heard = []
        for word in (b"one", b"two", b"three"):
            await call.write(word)
            heard.append(await call.read())
        await call.done_writing()

        assert heard == [b"ONE", b"TWO", b"THREE"]
        assert await call.read() is grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK


async def test_handlers_that_read_and_write_themselves_work(wire: dict[str, Any]) -> None:
    async with serving(**wire) as stack:
        parts = [part async for part in stack.chat("read_write")(iter([b"a", b"b"]))]

        assert parts == [b"a", b"b"]


async def test_a_message_of_64_megabytes_goes_both_ways(wire: dict[str, Any]) -> None:
    limits = Limits(max_receive_message=65 << 20)
    async with serving(**wire, limits=limits) as stack:
        message = bytes(range(256)) * (256 << 10)

        assert await stack.unary("echo")(message) == message
        assert stack.server.counters["held_bytes"] == 0


async def test_two_thousand_calls_in_flight_are_each_answered(wire: dict[str, Any]) -> None:
    async with serving(**wire) as stack:
        wait = stack.unary("wait")
        stack.servicer.crowd = 2_000
        calls = [asyncio.ensure_future(wait(str(n).encode())) for n in range(2_000)]
        await stack.servicer.is_crowded.wait()
        stack.servicer.release.set()

        assert [int(answer) for answer in await asyncio.gather(*calls)] == list(range(2_000))


async def test_abort_sends_its_status_details_and_trailers(wire: dict[str, Any]) -> None:
    async with serving(**wire) as stack:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stack.unary("abort")("100 % schön\n".encode())

        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == "100 % schön\n"
        assert dict(caught.value.trailing_metadata()) == {"reason": "test", "detail-bin": b"\x00\xff"}


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with serving("127.0.0.1:0") as stack:
        yield stack


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_crash_says_what_kind_it_was_but_not_what_it_said(stack: Stack) -> None:
    error = await failure(stack.unary("crash")(b""))

    assert error.code() == grpc.StatusCode.UNKNOWN
    assert error.details() == "the handler failed with ValueError"


async def test_a_code_that_was_set_is_the_outcome(stack: Stack) -> None:
    error = await failure(stack.unary("set_code")(b"x"))

    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "lost")


async def test_an_unknown_method_is_unimplemented(stack: Stack) -> None:
    error = await failure(stack.unary("nothing")(b""))

    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_metadata_goes_both_ways(stack: Stack) -> None:
    call = stack.unary("headers")(b"", metadata=[("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\x00\x80")])

    assert await call == repr([("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\x00\x80")]).encode()
    assert dict(await call.initial_metadata()) == {"early": "yes", "early-bin": b"\x01"}
    assert dict(await call.trailing_metadata()) == {"late": "yes"}


async def test_metadata_beyond_the_limit_fails_its_call_only(stack: Stack) -> None:
    error = await failure(stack.unary("echo")(b"", metadata=[("x-long", "y" * 20_000)]))

    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await stack.unary("echo")(b"still here") == b"still here"


async def test_a_message_beyond_the_limit_fails_its_call_only(stack: Stack) -> None:
    error = await failure(stack.unary("echo")(b"x" * (5 << 20)))

    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await stack.unary("echo")(b"still here") == b"still here"


async def test_a_caller_without_tls_has_an_address_and_no_name(stack: Stack) -> None:
    peer, identities, has_deadline = eval(await stack.unary("peer")(b"", timeout=5))  # noqa: S307

    assert peer.startswith("ipv4:127.0.0.1:")
    assert identities is None
    assert has_deadline is True


async def test_a_caller_with_a_certificate_has_its_names() -> None:
    async with serving("127.0.0.1:0", trustme.CA()) as stack:
        _, identities, _ = eval(await stack.unary("peer")(b""))  # noqa: S307

        assert identities == [b"caller.test"]


async def test_a_deadline_ends_the_call_and_its_handler(stack: Stack) -> None:
    error = await failure(stack.unary("wait")(b"", timeout=0.05))

    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await stack.servicer.cancelled.wait()
    assert stack.servicer.contexts[0].cancelled()


async def test_a_caller_that_leaves_cancels_its_handler(stack: Stack) -> None:
    call = stack.unary("wait")(b"")
    await stack.servicer.started.wait()
    call.cancel()
    await stack.servicer.cancelled.wait()

    assert stack.servicer.running == 0
    assert await stack.unary("echo")(b"still here") == b"still here"


async def test_a_generator_that_waits_for_its_reader_is_closed_when_the_reader_leaves(stack: Stack) -> None:
    call = stack.pour("drip")(b"100000")
    await call.read()
    call.cancel()

    await stack.servicer.cancelled.wait()


async def test_a_caller_that_dies_cancels_its_handler(stack: Stack) -> None:
    call = asyncio.ensure_future(stack.unary("wait")(b""))
    await stack.servicer.started.wait()
    await stack.channel.close()
    await stack.servicer.cancelled.wait()

    assert stack.servicer.running == 0
    await asyncio.wait([call])


async def test_a_server_that_dies_is_unavailable(stack: Stack) -> None:
    call = stack.unary("wait")(b"")
    await stack.servicer.started.wait()
    for connection in list(stack.server.connections):
        connection.abort()

    assert (await failure(call)).code() == grpc.StatusCode.UNAVAILABLE


async def test_done_callbacks_are_told_of_every_end(stack: Stack) -> None:
    call = stack.unary("wait")(b"")
    await stack.servicer.started.wait()
    told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    stack.servicer.contexts[0].add_done_callback(told.set_result)
    call.cancel()

    assert (await told).cancelled()


async def test_a_slow_reader_holds_up_its_handler_and_nobody_else(stack: Stack) -> None:
    call = stack.pour("pour")(b"10000")
    await call.read()
    await stack.servicer.started.wait()
    for _ in range(100):  # all of them are answered beside the stream that nobody reads
        assert await stack.unary("echo")(b"x") == b"x"
    stuck_at = stack.servicer.written
    for _ in range(20):
        await stack.unary("echo")(b"x")

    assert stack.servicer.written == stuck_at
    call.cancel()
    await stack.servicer.cancelled.wait()


async def test_a_handler_that_does_not_read_shuts_its_window_and_no_other(stack: Stack) -> None:
    call = stack.gather("idle")()
    writing = asyncio.ensure_future(_write_all(call, 200, b"x" * 50_000))
    await stack.servicer.started.wait()
    for _ in range(100):
        assert await stack.unary("echo")(b"x") == b"x"

    assert stack.server.counters["held_bytes"] < 1 << 20
    stack.servicer.release.set()
    await writing
    assert await call == b"10000000"
    assert stack.server.counters["held_bytes"] == 0


async def _write_all(call: Any, times: int, message: bytes) -> None:
    for _ in range(times):
        await call.write(message)
    await call.done_writing()


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_requests_are_read_and_answers_compressed(algorithm: grpc.Compression) -> None:
    async with serving("127.0.0.1:0", compression="gzip") as stack:
        assert await stack.unary("echo")(b"z" * 100_000, compression=algorithm) == b"z" * 100_000


async def test_a_graceful_stop_answers_what_was_accepted() -> None:
    async with serving("127.0.0.1:0") as stack:
        call = stack.unary("wait")(b"last")
        await stack.servicer.started.wait()
        stopping = asyncio.ensure_future(stack.server.stop(BOUND))
        stack.servicer.release.set()

        assert await call == b"last"
        await stopping


async def test_connections_that_come_of_age_lose_no_call() -> None:
    async with serving("127.0.0.1:0", limits=Limits(max_age=0.05)) as stack:

        async def calls() -> int:
            answered = 0
            while stack.server.counters["aged"] < 4:
                answered += await stack.unary("echo")(b"x") == b"x"
            return answered

        answered = await asyncio.gather(*[calls() for _ in range(20)])

        assert min(answered) > 0


async def test_a_stop_without_grace_says_unavailable_and_cancels() -> None:
    async with serving("127.0.0.1:0") as stack:
        call = stack.unary("wait")(b"")
        await stack.servicer.started.wait()
        await stack.server.stop(None)
        error = await failure(call)

        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert stack.servicer.running == 0


async def test_the_port_is_free_after_a_stop() -> None:
    first = h2grpc.server()
    port = first.add_insecure_port("127.0.0.1:0")
    await first.start()
    await first.stop(None)
    second = h2grpc.server()

    assert second.add_insecure_port(f"127.0.0.1:{port}") == port
    await second.stop(None)


async def test_an_address_that_is_taken_is_an_error() -> None:
    first, second = h2grpc.server(), h2grpc.server()
    port = first.add_insecure_port("127.0.0.1:0")
    await first.start()

    with pytest.raises(RuntimeError, match="cannot be listened on"):
        second.add_insecure_port(f"127.0.0.1:{port}")
    await first.stop(None)
