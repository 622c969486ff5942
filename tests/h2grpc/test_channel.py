"""The client beside the ordinary: servers that come, go, refuse and keep silent, and callers who leave."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import ngh2
import pytest
import trustme

import h2grpc
from h2grpc import CLIENT_LIMITS, ChannelConfig, RpcError, Status
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.h2grpc.open_files import open_files
from tests.h2grpc.scripted_server import HEAD, Session, scripted

QUICK = ChannelConfig(min_backoff=0.01, max_backoff=0.02)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/socket"


class Echo(grpc.GenericRpcHandler):
    """unary and stream echo, hold waits for ``released``, flood sends for ever, deaf reads only when ``released``."""

    def __init__(self) -> None:
        self.running = self.most = self.sent = 0
        self.held = asyncio.Event()
        self.released = asyncio.Event()
        self.cancelled = asyncio.Event()

    def service(self, details: Any) -> Any:
        name = details.method.rpartition("/")[2]
        if name in ("unary", "hold"):
            return grpc.unary_unary_rpc_method_handler(getattr(self, name))
        if name == "flood":
            return grpc.unary_stream_rpc_method_handler(self.flood)
        return grpc.stream_stream_rpc_method_handler(getattr(self, name))

    async def unary(self, request: bytes, context: Any) -> bytes:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return request

    async def hold(self, request: bytes, context: Any) -> bytes:
        self.held.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def flood(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                self.sent += 1
                yield bytes(10_000)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def deaf(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self.held.set()
        await self.released.wait()
        async for request in requests:
            yield b"%d" % len(request)


async def serve(address: str, echo: Echo, **options: Any) -> h2grpc.Server:
    server = h2grpc.server(**options)
    server.add_generic_rpc_handlers((echo,))
    server.add_insecure_port(address)
    await server.start()
    return server


async def test_a_call_to_nobody_fails_at_once(address: str) -> None:
    async with h2grpc.insecure_channel(address) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"")

    assert caught.value.code() is Status.UNAVAILABLE


async def test_a_call_that_waits_for_ready_is_answered_by_a_server_that_comes_later(address: str) -> None:
    async with h2grpc.insecure_channel(address, config=QUICK) as channel:
        call = channel.unary_unary("/echo/unary")(b"abc", wait_for_ready=True)
        await channel.wait_for_state_change(h2grpc.Connectivity.IDLE)
        await channel.wait_for_state_change(h2grpc.Connectivity.CONNECTING)
        server = await serve(address, Echo())

        assert await call == b"abc"

    await server.stop(None)


async def test_the_deadline_of_a_call_that_waits_for_ready_is_kept(address: str) -> None:
    async with h2grpc.insecure_channel(address, config=QUICK) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"", wait_for_ready=True, timeout=0.05)

    assert caught.value.code() is Status.DEADLINE_EXCEEDED


async def test_a_deadline_that_has_passed_is_not_sent(address: str) -> None:
    async with h2grpc.insecure_channel(address) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"", timeout=0)

        assert caught.value.code() is Status.DEADLINE_EXCEEDED
        assert channel.get_state() is h2grpc.Connectivity.IDLE


async def test_after_a_restart_of_the_server_calls_are_answered_again(address: str) -> None:
    first = await serve(address, Echo())
    async with h2grpc.insecure_channel(address, config=QUICK) as channel:
        unary = channel.unary_unary("/echo/unary")
        await unary(b"1")
        await first.stop(None)
        second = await serve(address, Echo())

        assert await unary(b"2", wait_for_ready=True) == b"2"

    await second.stop(None)


async def test_calls_in_flight_fail_when_the_connection_is_lost(tmp_path: Path, address: str) -> None:
    def hang_up(session: Session, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived):
            session.transport.abort()

    async with scripted(tmp_path / "socket", hang_up), h2grpc.insecure_channel(address) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"")

    assert caught.value.code() is Status.UNAVAILABLE


async def test_an_orderly_stop_lets_the_call_in_flight_be_answered(address: str) -> None:
    echo = Echo()
    server = await serve(address, echo)
    async with h2grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/echo/hold")(b"abc")
        await echo.held.wait()
        stopping = asyncio.ensure_future(server.stop(10))
        await channel.wait_for_state_change(h2grpc.Connectivity.READY)
        echo.released.set()

        assert await call == b"abc"

    await stopping


async def test_new_calls_leave_a_connection_that_goes_away(tmp_path: Path, address: str) -> None:
    def leave(session: Session, event: Any) -> None:
        if isinstance(event, ngh2.DataReceived):
            session.answer(event.stream_id, b"%d" % session.number)
            if session.number == 1:
                session.engine.send_goaway()

    async with scripted(tmp_path / "socket", leave) as sessions, h2grpc.insecure_channel(address) as channel:
        unary = channel.unary_unary("/echo/unary")

        assert [await unary(b"") for _ in range(3)] == [b"1", b"2", b"2"]
        assert len(sessions) == 2


async def test_a_call_that_the_leaving_server_did_not_look_at_is_sent_again(tmp_path: Path, address: str) -> None:
    def refuse_once(session: Session, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived) and session.number == 1:
            session.engine.send_goaway(last_stream_id=0)
        elif isinstance(event, ngh2.DataReceived) and session.number == 2:
            session.answer(event.stream_id, event.data[5:])

    async with scripted(tmp_path / "socket", refuse_once), h2grpc.insecure_channel(address) as channel:
        assert await channel.unary_unary("/echo/unary")(b"abc") == b"abc"


async def test_a_refused_stream_is_sent_again_with_all_that_was_written(tmp_path: Path, address: str) -> None:
    refused = asyncio.Event()
    bodies: dict[int, bytes] = {}

    def refuse_first(session: Session, event: Any) -> None:
        if not isinstance(event, ngh2.DataReceived):
            return
        if event.stream_id == 1:
            session.engine.reset_stream(1, ngh2.ErrorCode.REFUSED_STREAM)
            refused.set()
        else:
            bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
            if event.end_stream:
                session.answer(event.stream_id, bodies[event.stream_id])

    async with scripted(tmp_path / "socket", refuse_first), h2grpc.insecure_channel(address) as channel:
        call = channel.stream_unary("/echo/x")()
        await call.write(b"a")
        await refused.wait()
        await call.write(b"b")
        await call.done_writing()

        assert await call == b"\0\0\0\0\x01a\0\0\0\0\x01b"


async def test_a_server_that_refuses_for_ever_is_not_asked_for_ever(tmp_path: Path, address: str) -> None:
    asked = []

    def refuse(session: Session, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived):
            asked.append(event.stream_id)
            session.engine.reset_stream(event.stream_id, ngh2.ErrorCode.REFUSED_STREAM)

    async with scripted(tmp_path / "socket", refuse), h2grpc.insecure_channel(address) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"abc")

    assert caught.value.code() is Status.UNAVAILABLE
    assert len(asked) == 3


async def test_a_call_whose_answer_began_is_not_sent_again(tmp_path: Path, address: str) -> None:
    asked = []

    def begin(session: Session, event: Any) -> None:
        if isinstance(event, ngh2.DataReceived):
            asked.append(event.stream_id)
            session.engine.send_response(event.stream_id, HEAD)
            session.flush()
            session.engine.reset_stream(event.stream_id, ngh2.ErrorCode.REFUSED_STREAM)

    async with scripted(tmp_path / "socket", begin), h2grpc.insecure_channel(address) as channel:
        with pytest.raises(RpcError):
            await channel.unary_unary("/echo/unary")(b"abc")

    assert len(asked) == 1


async def test_no_more_calls_run_than_the_server_allows(address: str) -> None:
    echo = Echo()
    server = await serve(address, echo, limits=h2grpc.Limits(max_streams=3))
    async with h2grpc.insecure_channel(address) as channel:
        unary = channel.unary_unary("/echo/unary")
        answers = await asyncio.gather(*(unary(b"%d" % number) for number in range(50)))
    await server.stop(None)

    assert answers == [b"%d" % number for number in range(50)]
    assert echo.most <= 3


async def test_more_calls_than_may_wait_fail_at_once(address: str) -> None:
    config = replace(QUICK, max_waiting=2)
    async with h2grpc.insecure_channel(address, config=config) as channel:
        unary = channel.unary_unary("/echo/unary")
        waiting = [unary(b"", wait_for_ready=True) for _ in range(2)]
        with pytest.raises(RpcError) as caught:
            await unary(b"", wait_for_ready=True)

        assert caught.value.code() is Status.RESOURCE_EXHAUSTED
        assert not any(call.done() for call in waiting)


async def test_calls_that_gave_up_waiting_take_no_place_of_those_that_wait(address: str) -> None:
    config = replace(QUICK, max_waiting=2)
    async with h2grpc.insecure_channel(address, config=config) as channel:
        unary = channel.unary_unary("/echo/unary")
        for _ in range(3):
            cancelled, expired = unary(b"", wait_for_ready=True), unary(b"", wait_for_ready=True, timeout=0.01)
            await expired.code()
            cancelled.cancel()
        waiting = [unary(b"", wait_for_ready=True) for _ in range(2)]

        assert not any(call.done() for call in waiting)


async def test_a_silent_server_is_left_after_an_unanswered_ping(tmp_path: Path, address: str) -> None:
    def go_silent(session: Session, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived):
            session.transport.pause_reading()

    config = ChannelConfig(limits=replace(CLIENT_LIMITS, keepalive=0.02, keepalive_timeout=0.02))
    async with scripted(tmp_path / "socket", go_silent), h2grpc.insecure_channel(address, config=config) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"")

    assert caught.value.code() is Status.UNAVAILABLE


async def test_after_a_silent_server_was_left_the_next_call_has_a_new_connection(tmp_path: Path, address: str) -> None:
    def go_silent_once(session: Session, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived) and session.number == 1:
            session.transport.pause_reading()
        elif isinstance(event, ngh2.DataReceived) and session.number > 1:
            session.answer(event.stream_id, b"back")

    config = ChannelConfig(limits=replace(CLIENT_LIMITS, keepalive=0.02, keepalive_timeout=0.02))
    async with (
        scripted(tmp_path / "socket", go_silent_once, {ngh2.Setting.INITIAL_WINDOW_SIZE: 16 << 20}),
        h2grpc.insecure_channel(address, config=config) as channel,
    ):
        # More than a socket's buffers hold, so that the transport cannot close by itself.
        first = channel.unary_unary("/echo/unary")(bytes(8_000_000))

        assert await first.code() is Status.UNAVAILABLE
        assert await channel.unary_unary("/echo/unary")(b"") == b"back"


async def test_a_peer_that_is_no_http2_is_no_server(tmp_path: Path, address: str) -> None:
    async def speak_http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(speak_http1, tmp_path / "socket")
    async with server, h2grpc.insecure_channel(address) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"")

    assert caught.value.code() is Status.UNAVAILABLE


async def test_writing_waits_for_a_server_that_does_not_read_and_other_calls_go_on(address: str) -> None:
    echo = Echo()
    server = await serve(address, echo)
    async with h2grpc.insecure_channel(address) as channel:
        call = channel.stream_stream("/echo/deaf")()
        writing = asyncio.ensure_future(write_many(call, 400))
        await echo.held.wait()
        others = [await channel.unary_unary("/echo/unary")(b"x") for _ in range(100)]

        assert others == [b"x"] * 100
        assert not writing.done()

        echo.released.set()
        got = [answer async for answer in call]

        await writing
        assert got == [b"10000"] * 400

    await server.stop(None)


async def write_many(call: Any, count: int) -> None:
    for _ in range(count):
        await call.write(bytes(10_000))
    await call.done_writing()


async def test_a_stream_that_nobody_reads_stops_its_server(address: str) -> None:
    echo = Echo()
    server = await serve(address, echo)
    async with h2grpc.insecure_channel(address) as channel:
        call = channel.unary_stream("/echo/flood")(b"")
        await call.read()
        unary = channel.unary_unary("/echo/unary")
        sent = -1
        while sent != echo.sent:
            sent = echo.sent
            for _ in range(20):
                await unary(b"")

        assert sent * 10_000 < 4 << 20

        call.cancel()
        await echo.cancelled.wait()
    await server.stop(None)


async def test_a_call_that_is_dropped_is_cancelled(address: str) -> None:
    echo = Echo()
    server = await serve(address, echo)
    async with h2grpc.insecure_channel(address) as channel:
        async for _ in channel.unary_stream("/echo/flood")(b""):
            break
        gc.collect()
        await echo.cancelled.wait()
    await server.stop(None)


async def test_who_is_cancelled_while_waiting_cancels_the_call(address: str) -> None:
    echo = Echo()
    server = await serve(address, echo)
    async with h2grpc.insecure_channel(address) as channel:
        waiting = asyncio.ensure_future(wait_for(channel.unary_unary("/echo/hold")(b"")))
        await echo.held.wait()
        waiting.cancel()
        await echo.cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await server.stop(None)


async def wait_for(call: Any) -> Any:
    return await call


async def test_an_iterator_of_requests_that_fails_ends_the_call_and_is_told(address: str) -> None:
    answered = asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        yield b"1"
        await answered.wait()
        raise ValueError("out of numbers")

    server = await serve(address, Echo())
    async with h2grpc.insecure_channel(address) as channel:
        call = channel.stream_stream("/echo/stream")(requests())
        await call.read()
        answered.set()
        with pytest.raises(RpcError) as caught:
            await call.read()
    await server.stop(None)

    assert caught.value.code() is Status.CANCELLED
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_request_over_the_limit_is_not_sent(address: str) -> None:
    config = ChannelConfig(limits=replace(CLIENT_LIMITS, max_send_message=10))
    server = await serve(address, Echo())
    async with h2grpc.insecure_channel(address, config=config) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(bytes(11))

        assert await channel.unary_unary("/echo/unary")(bytes(10)) == bytes(10)
    await server.stop(None)

    assert caught.value.code() is Status.RESOURCE_EXHAUSTED


async def test_an_answer_over_the_limit_fails_its_call_alone(address: str) -> None:
    config = ChannelConfig(limits=replace(CLIENT_LIMITS, max_receive_message=10))
    server = await serve(address, Echo())
    async with h2grpc.insecure_channel(address, config=config) as channel:
        large, small = (channel.unary_unary("/echo/unary")(bytes(size)) for size in (11, 10))
        with pytest.raises(RpcError) as caught:
            await large

        assert await small == bytes(10)
    await server.stop(None)

    assert caught.value.code() is Status.RESOURCE_EXHAUSTED


async def test_two_answers_to_a_unary_call_are_an_error(tmp_path: Path, address: str) -> None:
    def answer_twice(session: Session, event: Any) -> None:
        if isinstance(event, ngh2.DataReceived):
            session.engine.send_response(event.stream_id, HEAD)
            session.engine.send_data(event.stream_id, b"\0\0\0\0\1a\0\0\0\0\1b")

    async with scripted(tmp_path / "socket", answer_twice), h2grpc.insecure_channel(address) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"")

    assert caught.value.code() is Status.INTERNAL


async def test_writing_after_the_end_says_so(address: str) -> None:
    server = await serve(address, Echo())
    async with h2grpc.insecure_channel(address) as channel:
        call = channel.stream_stream("/echo/stream")()
        await call.done_writing()
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(b"")

        assert await call.read() is h2grpc.EOF
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(b"")
    await server.stop(None)


async def test_done_callbacks_are_called_once_with_the_call(address: str) -> None:
    server = await serve(address, Echo())
    async with h2grpc.insecure_channel(address) as channel:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = channel.unary_unary("/echo/unary")(b"")
        call.add_done_callback(done.set_result)

        assert await done is call
        assert call.done()
        assert not call.cancelled()
    await server.stop(None)


async def test_closing_a_channel_ends_its_calls_and_leaves_nothing(address: str) -> None:
    echo = Echo()
    server = await serve(address, echo)
    tasks, files = asyncio.all_tasks(), open_files()
    channel = h2grpc.insecure_channel(address)
    held = channel.unary_unary("/echo/hold")(b"")
    stream = channel.stream_stream("/echo/stream")(forever())
    await echo.held.wait()
    await channel.close()
    codes = [await held.code(), await stream.code()]
    await echo.cancelled.wait()
    await server.stop(None)

    assert codes == [Status.CANCELLED, Status.CANCELLED]
    assert asyncio.all_tasks() == tasks
    assert open_files() <= files


async def forever() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0)


async def test_closing_with_grace_waits_for_the_answer(address: str) -> None:
    echo = Echo()
    server = await serve(address, echo)
    channel = h2grpc.insecure_channel(address)
    call = channel.unary_unary("/echo/hold")(b"abc")
    await echo.held.wait()
    closing = asyncio.ensure_future(channel.close(10))
    await channel.wait_for_state_change(h2grpc.Connectivity.READY)
    echo.released.set()

    assert await call == b"abc"

    await closing
    await server.stop(None)


async def test_calls_on_a_closed_channel_are_cancelled(address: str) -> None:
    channel = h2grpc.insecure_channel(address)
    await channel.close()

    assert await channel.unary_unary("/echo/unary")(b"").code() is Status.CANCELLED


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_calls_go_over_tls(authority: trustme.CA) -> None:
    server_context, client_context = tls(authority)
    server = h2grpc.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_secure_port("localhost:0", server_context)
    await server.start()
    async with h2grpc.secure_channel(f"localhost:{port}", client_context) as channel:
        assert await channel.unary_unary("/echo/unary")(bytes(200_000)) == bytes(200_000)
    await server.stop(None)


async def test_a_server_that_is_not_trusted_is_none(authority: trustme.CA) -> None:
    server_context, _ = tls(authority)
    server = h2grpc.server()
    port = server.add_secure_port("localhost:0", server_context)
    await server.start()
    async with h2grpc.secure_channel(f"localhost:{port}", ssl.create_default_context()) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary_unary("/echo/unary")(b"")
    await server.stop(None)

    assert caught.value.code() is Status.UNAVAILABLE


async def test_a_server_over_tls_that_does_not_choose_http2_is_none(authority: trustme.CA) -> None:
    server_context, client_context = tls(authority)

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "localhost", 0, ssl=server_context) as server:
        port = server.sockets[0].getsockname()[1]
        async with h2grpc.secure_channel(f"localhost:{port}", client_context) as channel:
            with pytest.raises(RpcError) as caught:
                await channel.unary_unary("/echo/unary")(b"")

    assert "HTTP/2" in caught.value.details()


@pytest.mark.parametrize(("extra", "answers"), [((b"x-bin", b"!"), 1), ((b"x", b"1"), 3)])
async def test_one_answer_that_cannot_be_taken_costs_the_connections_other_calls_nothing(
    tmp_path: Path, address: str, extra: tuple[bytes, bytes], answers: int
) -> None:
    asked: list[int] = []

    def spoil_the_first(session: Session, event: Any) -> None:
        if not isinstance(event, ngh2.DataReceived):
            return
        asked.append(event.stream_id)
        if len(asked) == 2:
            session.engine.send_response(asked[0], [*HEAD, extra])
            for _ in range(answers):
                session.engine.send_data(asked[0], b"\0\0\0\0\1a")
                session.flush()
            session.answer(asked[1], b"fine")

    async with scripted(tmp_path / "socket", spoil_the_first), h2grpc.insecure_channel(address) as channel:
        unary = channel.unary_unary("/echo/unary")
        spoilt, fine = unary(b""), unary(b"")
        with pytest.raises(RpcError) as caught:
            await spoilt

        assert (caught.value.code(), await fine) == (Status.INTERNAL, b"fine")
