"""Streams of which one direction has ended and the other goes on, between every two libraries."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

import h2grpc
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.h2grpc.interop.pair import Pair

RpcErrors = (grpc.aio.AioRpcError, h2grpc.RpcError)


def output(pair: Pair, *sizes: int, held: bool = False, **fields: Any) -> Any:
    parameters = [pair.pb.ResponseParameters(size=size) for size in sizes]
    if held:
        parameters.append(pair.pb.ResponseParameters(held=True))
    return pair.pb.StreamingOutputCallRequest(response_parameters=parameters, **fields)


def refusal(pair: Pair) -> Any:
    return output(pair, response_status=pair.pb.EchoStatus(code=9, message="no more"))


def outcome(error: Any) -> tuple[str, str]:
    return error.code().name, error.details()


async def nothing_left(pair: Pair) -> bool:
    """When the news of every end has come to our server; grpcio's has no such books."""
    if pair.server_library == "h2grpc":
        while any(connection.contexts for connection in pair.server.connections):
            await pair.stub.EmptyCall(pair.pb.Empty())
        assert [len(connection.connection.calls) for connection in pair.server.connections] == [0]
        assert pair.servicer.running == 0
    return True


async def test_a_client_that_has_said_everything_hears_everything(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall()
    for _ in range(3):
        await call.write(output(pair, *[50_000] * 20))
    await call.done_writing()
    got = [len(response.payload.body) async for response in call]

    assert got == [50_000] * 60


async def test_a_server_that_ends_first_is_heard_by_a_client_that_was_not_done(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall()
    await call.write(output(pair, 100))
    first = await call.read()
    await call.write(refusal(pair))
    with pytest.raises(RpcErrors) as caught:
        await call.read()

    assert len(first.payload.body) == 100
    assert outcome(caught.value) == ("FAILED_PRECONDITION", "no more")


async def test_a_server_that_ends_first_again_and_again_is_not_taken_for_a_flood(pair: Pair) -> None:
    codes = set()
    for _ in range(1_500):
        call = pair.stub.FullDuplexCall()
        await call.write(refusal(pair))
        codes.add((await call.code()).name)

    assert codes == {"FAILED_PRECONDITION"}
    assert await pair.stub.EmptyCall(pair.pb.Empty()) == pair.pb.Empty()
    assert await nothing_left(pair)


@pytest.mark.parametrize(("count", "size"), [(1_000, 0), (20, 300_000)])
async def test_half_closed_streams_that_nobody_reads_do_not_hold_up_the_others(
    pair: Pair, count: int, size: int
) -> None:
    """All that they bring is less than the connection's window, and more than the smallest of a stream."""
    if pair.server_library == "grpcio":
        count = min(count, 500)  # its server cancels calls when more than a thousand wait to be started
    calls = [pair.stub.StreamingOutputCall(output(pair, size, size, held=True)) for _ in range(count)]
    for call in calls:
        await call.initial_metadata()
    sizes = [number * 100 for number in range(200)]
    answers = await asyncio.gather(*(pair.stub.UnaryCall(pair.pb.SimpleRequest(response_size=s)) for s in sizes))
    for call in calls:
        call.cancel()
    codes = {(await call.code()).name for call in calls}

    assert [len(answer.payload.body) for answer in answers] == sizes
    assert codes == {"CANCELLED"}
    assert await nothing_left(pair)


async def test_a_writer_that_nobody_reads_is_freed_by_the_servers_end(pair: Pair) -> None:
    """More than any window is on its way when the server says that it has heard enough."""
    if pair.client_library == "grpcio":
        pytest.skip("grpc.aio's write waits for ever once its call has ended")
    call = pair.stub.FullDuplexCall()
    await call.write(refusal(pair))
    body = pair.pb.Payload(body=bytes(1_000_000))
    with pytest.raises(RpcErrors) as caught:
        await write_for_ever(call, pair.pb.StreamingOutputCallRequest(payload=body))

    assert outcome(caught.value)[0] == "FAILED_PRECONDITION"


async def write_for_ever(call: Any, message: Any) -> None:
    while True:
        await call.write(message)
