"""The shortest way to answer a call is taken only where it says all that the handler said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

import h2grpc
from h2grpc.client_protocol import ClientConnection
from h2grpc.counters import Counters
from h2grpc.events import CallEnded, CallHeaders, Event, Message
from h2grpc.limits import Limits
from h2grpc.server import Server
from h2grpc.status import Status
from tests.support.h2grpc_wire import of


class Pipe(asyncio.Transport):
    """What a server wrote, and whether it has closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


class Line:
    """A server with one method, and a client on one connection without a socket."""

    def __init__(self, behavior: Callable[[bytes, Any], Any], **options: Any) -> None:
        self.server: Server = h2grpc.server(**options)
        handler: Any = grpc.unary_unary_rpc_method_handler(behavior)
        self.server.add_registered_method_handlers("t", {"m": handler})
        self.pipe, self.driver = Pipe(), self.server.protocol_factory()
        self.driver.connection_made(self.pipe)
        self.client = ClientConnection(Limits(), Counters(), 0.0, authority="test")
        self.seen: list[Event] = []

    def begin(self, *messages: bytes) -> None:
        for message in messages:
            call = self.client.start(b"/t/m", 0.0)
            self.client.send_message(call, message)
            self.client.end(call)

    async def carry(self) -> None:
        """Until neither end has anything to say, and no handler is running."""
        while True:
            up = self.client.data_to_send()
            if up:
                self.driver.data_received(up)
            for _ in range(5):
                await asyncio.sleep(0)
            for data in self.pipe.written:
                self.client.receive(data, 0.0)
            is_quiet = not up and not self.pipe.written and not self.driver.contexts
            self.pipe.written.clear()
            self.seen += self.client.events()
            if is_quiet:
                return

    @property
    def outcome(self) -> tuple[Status, str]:
        ended = of(self.seen, CallEnded)[-1]
        return ended.status, ended.details


async def test_a_code_that_was_set_is_sent_with_its_details() -> None:
    async def behavior(request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("not here")
        return request

    wire = Line(behavior)
    wire.begin(b"a")
    await wire.carry()

    assert wire.outcome == (Status.NOT_FOUND, "not here")


async def test_a_code_is_sent_without_details_as_well() -> None:
    async def behavior(request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        return request

    wire = Line(behavior)
    wire.begin(b"a")
    await wire.carry()

    assert wire.outcome == (Status.NOT_FOUND, "")


async def test_details_are_sent_without_a_code_where_there_is_metadata_at_the_end() -> None:
    async def behavior(request: bytes, context: Any) -> bytes:
        context.set_details("fine")
        context.set_trailing_metadata((("x", "1"),))
        return request

    wire = Line(behavior)
    wire.begin(b"a")
    await wire.carry()

    assert wire.outcome == (Status.OK, "fine")


GIVEN = [(b"x-a", b"1"), (b"x-b", b"2")]


@pytest.mark.parametrize("is_plain", [True, False])
async def test_headers_for_the_end_are_sent_as_they_were_given(is_plain: bool) -> None:
    async def behavior(request: bytes, context: Any) -> bytes:
        context.set_trailing_headers(GIVEN)
        if not is_plain:
            context.set_details("fine")
        return request

    wire = Line(behavior)
    wire.begin(b"a")
    await wire.carry()

    assert [pair for pair in of(wire.seen, CallEnded)[-1].trailers if pair[0][:5] != b"grpc-"] == GIVEN
    assert [event.data for event in of(wire.seen, Message)] == [b"a"]


@pytest.mark.parametrize("is_first", [True, False])
async def test_of_headers_and_metadata_for_the_end_those_are_sent_that_were_set_last(is_first: bool) -> None:
    shown: list[Any] = []

    async def behavior(request: bytes, context: Any) -> bytes:
        if is_first:
            context.set_trailing_headers(GIVEN)
        context.set_trailing_metadata((("x-c", "3"),))
        if not is_first:
            context.set_trailing_headers(GIVEN)
        shown.append(context.trailing_metadata())
        return request

    wire = Line(behavior)
    wire.begin(b"a")
    await wire.carry()
    sent = [pair for pair in of(wire.seen, CallEnded)[-1].trailers if pair[0] != b"grpc-status"]

    assert sent == ([(b"x-c", b"3")] if is_first else GIVEN)
    assert shown == [((("x-c", "3"),) if is_first else (("x-a", "1"), ("x-b", "2")))]


async def test_metadata_of_an_abort_takes_the_place_of_headers_that_were_meant_for_the_end() -> None:
    async def behavior(_request: bytes, context: Any) -> None:
        context.set_trailing_headers(GIVEN)
        await context.abort(Status.NOT_FOUND, "no", (("x-c", "3"),))

    wire = Line(behavior)
    wire.begin(b"a")
    await wire.carry()

    assert of(wire.seen, CallEnded)[-1].trailers[-1] == (b"x-c", b"3")
    assert not set(GIVEN) & set(of(wire.seen, CallEnded)[-1].trailers)


async def test_what_is_made_of_the_metadata_is_made_anew_when_that_or_who_makes_it_is_another() -> None:
    made: list[Any] = []
    found: list[Any] = []

    def read(said: Any) -> Any:
        made.append(dict(said).get("x-a"))
        return dict(said).get("x-a")

    async def behavior(request: bytes, context: Any) -> bytes:
        found.append(context.remembered(read))
        if request == b"twice":
            found.append(context.remembered(len))
        return request

    wire = Line(behavior)
    for message, value in ((b"", b"1"), (b"", b"1"), (b"", b"2"), (b"twice", b"2"), (b"", b"2")):
        call = wire.client.start(b"/t/m", 0.0, ((b"x-a", value),))
        wire.client.send_message(call, message)
        wire.client.end(call)
        await wire.carry()

    assert made == ["1", "2", "2"]
    assert [each for each in found if isinstance(each, str)] == ["1", "1", "2", "2", "2"]


@pytest.mark.parametrize("by_server", [True, False])
async def test_an_answer_is_compressed_whoever_chose_it(by_server: bool) -> None:
    async def behavior(request: bytes, context: Any) -> bytes:
        if not by_server:
            context.set_compression("gzip")
        return request

    wire = Line(behavior, compression="gzip" if by_server else None)
    wire.begin(b"a" * 10_000)
    await wire.carry()

    assert (b"grpc-encoding", b"gzip") in of(wire.seen, CallHeaders)[0].call.headers
    assert [event.data for event in of(wire.seen, Message)] == [b"a" * 10_000]


async def test_a_handler_that_wrote_and_also_returns_ends_its_call() -> None:
    async def behavior(request: bytes, context: Any) -> bytes:
        await context.write(b"one")
        return b"two"

    wire = Line(behavior)
    wire.begin(b"a")
    await wire.carry()

    assert [event.data for event in of(wire.seen, Message)] == [b"one", b"two"]
    assert wire.outcome == (Status.OK, "")


async def test_callbacks_are_told_of_a_short_answer_too() -> None:
    told: list[bool] = []

    async def behavior(request: bytes, context: Any) -> bytes:
        context.add_done_callback(lambda context: told.append(context.done()))
        return request

    wire = Line(behavior)
    wire.begin(b"a")
    await wire.carry()

    assert told == [True]


async def test_handlers_of_calls_that_were_lost_count_for_the_limit() -> None:
    release = asyncio.Event()

    async def behavior(request: bytes, context: Any) -> bytes:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return request

    wire = Line(behavior, limits=Limits(max_streams=2))
    wire.begin(b"a", b"b")
    wire.driver.data_received(wire.client.data_to_send())
    await asyncio.sleep(0)
    for call in list(wire.client.calls.values()):
        wire.client.cancel(call)
    wire.begin(b"c")
    wire.driver.data_received(wire.client.data_to_send())
    await asyncio.sleep(0)
    for data in wire.pipe.written:
        wire.client.receive(data, 0.0)
    wire.seen += wire.client.events()
    release.set()
    await asyncio.sleep(0)

    assert wire.outcome == (Status.UNAVAILABLE, "too many calls of one connection")


async def test_a_drained_connection_is_closed_with_its_last_answer() -> None:
    release = asyncio.Event()

    async def behavior(request: bytes, context: Any) -> bytes:
        await release.wait()
        return request

    wire = Line(behavior)
    wire.begin(b"a")
    wire.driver.data_received(wire.client.data_to_send())
    wire.driver.drain()
    for _ in range(3):  # the round trip between the two GOAWAYs
        await asyncio.sleep(0)
        for data in wire.pipe.written:
            wire.client.receive(data, 0.0)
        wire.pipe.written.clear()
        if up := wire.client.data_to_send():
            wire.driver.data_received(up)
    was_closed = wire.pipe.is_closed
    release.set()
    for _ in range(5):
        await asyncio.sleep(0)

    assert (was_closed, wire.pipe.is_closed) == (False, True)


async def test_the_last_answer_of_a_connection_leaves_in_its_own_turn_of_the_loop() -> None:
    written: list[int] = []

    async def behavior(request: bytes, context: Any) -> bytes:
        context.add_done_callback(lambda _: written.append(len(wire.pipe.written)))
        return request

    wire = Line(behavior)
    wire.begin()
    await wire.carry()
    wire.begin(b"a")
    wire.driver.data_received(wire.client.data_to_send())
    for _ in range(3):
        await asyncio.sleep(0)

    assert written == [1]  # by the time that callbacks run, which is the next turn


@pytest.mark.parametrize(("calls", "parts"), [(8, [8]), (16, [9, 7]), (64, [33, 16, 8, 7])])
async def test_many_answers_of_one_turn_leave_in_parts_that_halve_what_is_left(calls: int, parts: list[int]) -> None:
    go = asyncio.Event()

    async def echo(request: bytes, _: Any) -> bytes:
        await go.wait()
        return request

    wire, messages = Line(echo), [b"%d" % number for number in range(calls)]
    await wire.carry()
    wire.begin(*messages)
    wire.driver.data_received(wire.client.data_to_send())
    await asyncio.sleep(0)
    go.set()
    for _ in range(3):
        await asyncio.sleep(0)
    found = []
    for data in wire.pipe.written:
        wire.client.receive(data, 0.0)
        found.append([event.data for event in of(wire.client.events(), Message)])

    assert [len(part) for part in found] == parts
    assert [message for part in found for message in part] == messages


async def test_a_part_is_kept_for_who_reads_again_where_nothing_can_be_written() -> None:
    go = asyncio.Event()

    async def echo(request: bytes, _: Any) -> bytes:
        await go.wait()
        return request

    wire = Line(echo)
    await wire.carry()
    wire.begin(*[b"a"] * 64)
    wire.driver.data_received(wire.client.data_to_send())
    await asyncio.sleep(0)
    wire.driver.pause_writing()
    go.set()
    for _ in range(3):
        await asyncio.sleep(0)
    held = list(wire.pipe.written)
    wire.driver.resume_writing()
    await wire.carry()

    assert (held, len(of(wire.seen, Message))) == ([], 64)


@pytest.mark.parametrize("messages", [0, 2])
async def test_a_call_that_is_refused_and_left_in_the_same_bytes_costs_its_connection_nothing(messages: int) -> None:
    async def same(request: bytes, context: Any) -> bytes:
        return request

    line = Line(same)
    await line.carry()
    left = line.client.start(b"/t/m", 0.0)
    await line.carry()
    for _ in range(messages):
        line.client.send_message(left, b"x")
    if not messages:
        line.client.end(left)
    wrong = line.client.data_to_send()
    line.client.cancel(left)
    line.begin(b"fine")
    line.driver.data_received(wrong + line.client.data_to_send())
    await line.carry()

    assert [message.data for message in of(line.seen, Message)] == [b"fine"]


class Broken:
    """Where a server looks for methods that nobody registered."""

    def service(self, _details: Any) -> Any:
        raise LookupError("broken")


async def test_a_connection_whose_calls_had_no_handlers_yet_is_over_like_any_other() -> None:
    wire = Line(lambda request, _context: request)
    wire.server.add_generic_rpc_handlers([Broken()])
    wire.client.end(wire.client.start(b"/t/other", 0.0))
    wire.begin(b"a")
    with pytest.raises(LookupError):
        wire.driver.data_received(wire.client.data_to_send())
    wire.driver.connection_lost(None)

    assert wire.server.connections == set()
    assert wire.server.counters["connections"] == 0


async def test_a_handler_that_answers_with_what_is_no_bytes_ends_its_call() -> None:
    wire = Line(lambda _request, _context: "text")
    wire.begin(b"a")
    await wire.carry()

    assert wire.outcome == (Status.UNKNOWN, "the handler failed with TypeError")
