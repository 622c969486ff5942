"""Calls that repeat each other on one connection are told apart all the same, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import grpc.aio
import pytest

import h2grpc
from h2grpc.call import Call
from h2grpc.events import CallLost
from h2grpc.limits import Limits
from h2grpc.status import Status
from tests.support.h2grpc_wire import Wire, calls_of, of

HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"test"),
    (b":path", b"/t.Echo/echo"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]


def begin(wire: Wire, *more: tuple[bytes, bytes], leave_out: bytes = b"") -> int:
    """A request as another client than ours would write it."""
    engine = wire.client._engine
    stream_id = engine.send_request([*(pair for pair in HEADERS if pair[0] != leave_out), *more])
    engine.send_data(stream_id, b"\0\0\0\0\1a", end_stream=True)
    wire.pump()
    return stream_id


def test_each_call_has_the_metadata_that_it_came_with() -> None:
    wire = Wire()
    keys = [b"one", b"one", b"two", b"one"]
    for key in keys:
        begin(wire, (b"authorization", key))

    told = [dict(call.opening.metadata)["authorization"] for call in calls_of(wire.at_server)]

    assert told == [key.decode() for key in keys]


def test_a_credential_of_the_call_before_is_not_that_of_one_without() -> None:
    wire = Wire()
    begin(wire, (b"authorization", b"secret"))
    begin(wire)

    assert dict(calls_of(wire.at_server)[1].opening.metadata) == {}


def test_each_call_has_its_own_deadline_though_they_say_the_same() -> None:
    wire = Wire()
    begin(wire, (b"grpc-timeout", b"5S"))
    wire.later(3.0)
    begin(wire, (b"grpc-timeout", b"5S"))
    wire.later(2.5)

    assert [event.call.stream_id for event in of(wire.at_server, CallLost)] == [1]
    assert calls_of(wire.at_server)[1].deadline == 108.0


@pytest.mark.parametrize("bad", [(b"grpc-timeout", b"soon"), (b"grpc-encoding", b"snappy"), (b"x-bin", b"?")])
def test_a_call_with_a_fault_is_refused_in_the_middle_of_good_ones(bad: tuple[bytes, bytes]) -> None:
    wire = Wire()
    begin(wire, (b"x", b"1"))
    begin(wire, (b"x", b"1"), bad)
    begin(wire, (b"x", b"1"))

    assert [call.stream_id for call in calls_of(wire.at_server)] == [1, 5]
    assert set(wire.server.calls) == {1, 5}


def test_a_request_that_is_no_grpc_is_none_after_a_call_with_the_same_other_headers() -> None:
    wire = Wire()
    begin(wire)
    begin(wire, leave_out=b"content-type")
    begin(wire)

    assert [call.stream_id for call in calls_of(wire.at_server)] == [1, 5]


def test_a_call_too_many_is_refused_however_well_its_headers_are_known() -> None:
    wire = Wire()
    wire.server.limits = Limits(max_streams=2)  # the engine itself would refuse what it was told of
    for _ in range(3):
        begin(wire)

    assert wire.counters["refused"] == 1
    assert set(wire.server.calls) == {1, 3}


class Calls:
    """A servicer for one unary method, with metadata at the end as the gateway sends it."""

    async def echo(self, request: bytes, context: Any) -> bytes:
        await asyncio.sleep(0)
        if request == b"fail":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no")
        context.set_trailing_metadata((("x-request-id", "1"),))
        return request


@pytest.mark.parametrize("request_", [b"answer", b"fail"])
async def test_a_call_that_is_over_leaves_nothing_for_the_garbage_collector(request_: bytes) -> None:
    server = h2grpc.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(Calls().echo)
    server.add_registered_method_handlers("t", {"echo": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(20), h2grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo = channel.unary_unary("/t/echo")
        for _ in range(3):
            await _outcome(echo, request_)
        gc.collect()
        gc.disable()
        try:
            gc.set_debug(gc.DEBUG_SAVEALL)
            for _ in range(5):
                await _outcome(echo, request_)
            gc.collect()
            left = [thing for thing in gc.garbage if isinstance(thing, Call | h2grpc.ServicerContext)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    await server.stop(None)

    assert left == []


async def _outcome(echo: Any, request: bytes) -> Any:
    try:
        return await echo(request)
    except h2grpc.RpcError as error:
        return Status(error.code())
