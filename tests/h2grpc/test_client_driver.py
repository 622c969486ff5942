"""A client's driver between a transport and a server that a test plays: every way that a message takes is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from h2grpc.call import Call
from h2grpc.client_driver import ClientDriver
from h2grpc.client_protocol import ClientConnection
from h2grpc.counters import Counters
from h2grpc.events import CallEnded, Message
from h2grpc.limits import Limits
from h2grpc.server_call import ServerCall
from h2grpc.server_protocol import ServerConnection
from h2grpc.status import Status
from tests.support.virtual_loop import VirtualLoop, on_virtual_time, run_virtually, settle

LIMIT = 8_000
CLIENT = Limits(
    max_receive_message=LIMIT,
    max_unread=3_000,
    max_unsent=4_000,
    stream_window=65_535,
    connection_window=100_000,
    write_chunk=5_000,
    keepalive=30.0,
)
SERVER = Limits(max_receive_message=LIMIT, max_unread=3_000, stream_window=65_535, connection_window=1 << 20)


class Caller:
    """What a connection knows of who made a call."""

    def __init__(self, world: World, is_listening: bool, compression: str | None, deadline: float | None) -> None:
        self.compression, self.deadline = compression, deadline
        self.listener: Callable[[bytes], None] | None = self._hear if is_listening else None
        self.heard: list[bytes] = []
        self.ends: list[CallEnded] = []
        self._world = world
        self.wire: Call = world.driver.start(cast(Any, self), b"/a/b", [])

    def _hear(self, data: bytes) -> None:
        self.heard.append(data)

    def on_headers(self, _headers: Any) -> None:
        pass

    def on_message(self, data: bytes) -> None:
        self.heard.append(data)
        self._world.driver.consumed(self.wire, len(data))

    def on_end(self, event: CallEnded) -> None:
        self.ends.append(event)


class World:
    def __init__(
        self, compression: str | None = None, is_listening: bool = True, deadline: float | None = None
    ) -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.up, self.down = b"", b""
        self.is_closing_ = False
        self.counters = Counters()
        self.connection = ClientConnection(CLIENT, self.counters, self.loop.now, authority="test")
        self.driver = ClientDriver(self.connection, cast(Any, self), self.loop, self.loop.time)
        self.server = ServerConnection(SERVER, Counters(), self.loop.now)
        self.of_server: ServerCall | None = None
        self.received: list[Message] = []
        self.read: list[bytes] = []
        self.driver.connection_made(cast(Any, self))
        self.caller = Caller(self, is_listening, compression, deadline)

    # The transport

    def write(self, data: bytes) -> None:
        assert data
        assert not self.is_closing_
        self.up += data

    def is_closing(self) -> bool:
        return self.is_closing_

    def close(self) -> None:
        self.is_closing_ = True

    abort = close

    # The channel

    def on_room(self) -> None:
        pass

    def on_leaving(self, driver: ClientDriver) -> None:
        pass

    def on_lost(self, driver: ClientDriver) -> None:
        pass

    # The server

    def answer(self, size: int) -> bytes:
        """In frames of its own."""
        assert self.of_server is not None
        message = bytes([size % 251]) * size
        self.server.send_message(self.of_server, message)
        self.down += self.server.data_to_send()
        return message

    def take(self, most: int) -> None:
        """The server's handler reads so many messages."""
        for message in self.received[:most]:
            self.read.append(message.data)
            self.server.consumed(message.call, len(message.data))
        del self.received[:most]

    async def carry(self, cut: int = 1 << 20) -> None:
        """Until neither end has anything more to say."""
        while True:
            await settle()
            up, self.up = self.up, b""
            for at in range(0, len(up), cut):
                self.server.receive(up[at : at + cut], self.loop.now)
            for event in self.server.events():
                if isinstance(event, ServerCall):
                    self.of_server = event
                    self.server.send_headers(event)
                elif isinstance(event, Message):
                    self.received.append(event)
            down, self.down = self.down, b""
            while part := self.server.data_to_send():
                down += part
            for at in range(0, len(down), cut):
                self.driver.data_received(down[at : at + cut])
            if not down and not up:
                return


MANY = 20
SIZES = st.one_of(st.integers(0, 100), st.integers(0, LIMIT))
STEPS = st.one_of(
    st.tuples(st.just("write"), SIZES),
    st.tuples(st.just("write"), SIZES),
    st.tuples(st.just("answer"), SIZES),
    st.tuples(st.just("answer"), SIZES),
    st.tuples(st.sampled_from(["many writes", "many answers"]), SIZES),
    st.tuples(st.just("take"), st.integers(1, 30)),
    st.tuples(st.just("carry"), st.integers(1, 30_000)),
    st.tuples(st.just("carry"), st.just(1 << 20)),
    st.tuples(st.just("settle"), st.just(0)),
    st.tuples(st.sampled_from(["pause", "resume", "ping"]), st.just(0)),
    st.tuples(st.just("time"), st.integers(0, 10)),
)


@settings(deadline=None)
@example(steps=[("many answers", LIMIT), ("carry", 1 << 20)] * 3, compression=None, is_listening=True, deadline=None)
@example(steps=[("many answers", 3_000), ("carry", 1 << 20)] * 3, compression=None, is_listening=True, deadline=None)
@example(steps=[("many writes", LIMIT), ("carry", 1 << 20)] * 3, compression=None, is_listening=True, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=40),
    compression=st.sampled_from([None, None, "gzip"]),
    is_listening=st.booleans(),
    deadline=st.sampled_from([None, 100_000.0]),
)
def test_messages_arrive_in_order_and_nothing_is_owed_for_them_whatever_happens_between(
    steps: list[tuple[str, int]], compression: str | None, is_listening: bool, deadline: float | None
) -> None:
    async def scenario() -> None:
        world = World(compression, is_listening, deadline)
        driver, connection, call = world.driver, world.connection, world.caller.wire
        sent: list[bytes] = []
        answered: list[bytes] = []
        await world.carry()
        for what, number in steps:
            if what in ("write", "many writes"):
                for _ in range(1 if what == "write" else MANY):
                    message, may_write = bytes([number % 251]) * number, connection.may_write(call)
                    assert driver.send_now(call, message) is may_write
                    sent += [message] * may_write
                    await asyncio.sleep(0)
            elif what in ("answer", "many answers"):
                answered += [world.answer(number) for _ in range(1 if what == "answer" else MANY)]
            elif what == "take":
                world.take(number)
            elif what == "carry":
                await world.carry(number)
                assert world.connection.is_ended is False
            elif what == "pause":
                driver.pause_writing()
            elif what == "resume":
                driver.resume_writing()
            elif what == "ping":
                connection.ping()
                driver.flush_soon()
            elif what == "time":
                world.loop.advance(number / 10)
            await settle()
            assert driver._wake_at <= connection.next_wake
        driver.resume_writing()
        while len(world.read) < len(sent):
            before = len(world.read)
            await world.carry()
            world.take(len(sent))
            assert len(world.read) > before
        await world.carry()

        assert (world.read, world.caller.heard) == (sent, answered)
        assert (call.unread, call.unacknowledged, call.charged, call.holds) == (0, 0, 0, 0)
        assert world.counters["held_bytes"] == 0
        assert connection.receive_window >= CLIENT.connection_window // 2

        driver.close()
        await settle()

    run_virtually(scenario())


@on_virtual_time
async def test_a_message_that_is_alone_leaves_in_the_same_turn() -> None:
    world = World()
    await world.carry()
    world.driver.send_now(world.caller.wire, b"abc")

    assert world.up.endswith(b"abc")


@on_virtual_time
async def test_a_message_waits_for_the_end_of_the_turn_where_others_do() -> None:
    world = World()
    await world.carry()
    world.driver.send(world.caller.wire, b"first")
    world.driver.send_now(world.caller.wire, b"second")
    at_once = world.up
    await settle()

    assert (at_once, world.up.index(b"first") < world.up.index(b"second")) == (b"", True)


@on_virtual_time
async def test_a_message_waits_where_a_write_at_the_end_of_the_turn_is_planned() -> None:
    world = World()
    await world.carry()
    world.driver.flush_soon()
    world.driver.send_now(world.caller.wire, b"abc")
    at_once = world.up
    await settle()

    assert (at_once, world.up.endswith(b"abc")) == (b"", True)


@on_virtual_time
async def test_a_message_longer_than_what_a_transport_is_given_at_a_time_leaves_whole() -> None:
    world = World()
    await world.carry()
    world.driver.send_now(world.caller.wire, bytes(LIMIT))
    at_once = len(world.up)
    await settle()

    assert (at_once, len(world.up) > LIMIT) == (CLIENT.write_chunk, True)


@on_virtual_time
async def test_nothing_is_written_to_a_transport_that_is_closing() -> None:
    world = World()
    await world.carry()
    world.is_closing_ = True
    world.driver.send_now(world.caller.wire, b"abc")
    await settle()

    assert world.up == b""


@on_virtual_time
async def test_a_call_that_is_over_takes_no_message() -> None:
    world = World()
    await world.carry()
    world.driver.end(world.caller.wire)

    assert world.driver.send_now(world.caller.wire, b"abc") is False


@on_virtual_time
async def test_a_listener_that_gives_up_its_call_is_told_no_more_of_the_same_bytes() -> None:
    world = World()
    await world.carry()
    heard: list[bytes] = []

    def listen(data: bytes) -> None:
        heard.append(data)
        world.driver.cancel(world.caller.wire)

    world.caller.wire.listener = listen
    first = world.answer(3)
    world.answer(4)
    await world.carry()

    assert heard == [first]


@on_virtual_time
async def test_a_listener_hears_what_came_before_the_end_and_nothing_after_it() -> None:
    world = World()
    await world.carry()
    assert world.of_server is not None
    last = world.answer(3)
    world.server.send_status(world.of_server, Status.OK)
    await world.carry()

    assert (world.caller.heard, [end.status for end in world.caller.ends]) == ([last], [Status.OK])
    assert world.caller.wire.listener is None
