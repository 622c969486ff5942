"""Faults at random times, seeded: every call ends with an outcome it may have, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

import h2grpc
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.h2grpc.interop.pair import Generated, Pair, channel_to, serve
from tests.h2grpc.interop.servicer import servicer
from tests.h2grpc.open_files import open_files

SEEDS = [1, 2, 3]
CALLS = 150

RpcErrors = (grpc.aio.AioRpcError, h2grpc.RpcError)


async def unary(pair: Pair, dice: random.Random, stub: Any) -> str:
    size = dice.choice((0, 10, 1_000, 100_000))
    request = pair.pb.SimpleRequest(response_size=size, payload=pair.pb.Payload(body=bytes(size)))
    call = stub.UnaryCall(request, timeout=dice.choice((None, 0.0, 0.001, 0.01, 5.0)))
    return await ended(leave_sometimes(call, dice, receive(call, size)))


async def receive(call: Any, size: int) -> None:
    response = await call
    assert len(response.payload.body) == size


async def client_stream(pair: Pair, dice: random.Random, stub: Any) -> str:
    call = stub.StreamingInputCall(timeout=dice.choice((None, 0.005, 5.0)))
    return await ended(leave_sometimes(call, dice, upload(pair, call, dice.choices((1, 5_000, 40_000), k=5))))


async def upload(pair: Pair, call: Any, sizes: list[int]) -> None:
    for size in sizes:
        await call.write(pair.pb.StreamingInputCallRequest(payload=pair.pb.Payload(body=bytes(size))))
    await call.done_writing()
    assert (await call).aggregated_payload_size == sum(sizes)


async def server_stream(pair: Pair, dice: random.Random, stub: Any) -> str:
    sizes = dice.choices((0, 100, 40_000), k=dice.randrange(20))
    parameters = [pair.pb.ResponseParameters(size=size) for size in sizes]
    if dice.random() < 0.2:
        parameters.append(pair.pb.ResponseParameters(held=True))
    request = pair.pb.StreamingOutputCallRequest(response_parameters=parameters)
    call = stub.StreamingOutputCall(request, timeout=dice.choice((0.005, 0.05, 0.2)))
    return await ended(leave_sometimes(call, dice, download(call, sizes)))


async def download(call: Any, sizes: list[int]) -> None:
    got = [len(response.payload.body) async for response in call]
    assert got == sizes


async def duplex(pair: Pair, dice: random.Random, stub: Any) -> str:
    call = stub.FullDuplexCall(timeout=dice.choice((None, 0.01, 5.0)))
    return await ended(leave_sometimes(call, dice, talk(pair, call, dice.choices((0, 100, 30_000), k=8))))


async def talk(pair: Pair, call: Any, sizes: list[int]) -> None:
    for size in sizes:
        parameters = [pair.pb.ResponseParameters(size=size)]
        await call.write(pair.pb.StreamingOutputCallRequest(response_parameters=parameters))
        response = await call.read()
        assert len(response.payload.body) == size
    await call.done_writing()
    assert not await call.read()


async def leave_sometimes(call: Any, dice: random.Random, work: Any) -> None:
    """One call in four is cancelled after a random number of turns, by the call itself or its task."""
    task = asyncio.ensure_future(work)
    if dice.random() < 0.25:
        for _ in range(dice.randrange(30)):
            await asyncio.sleep(0)
        if dice.random() < 0.5:
            call.cancel()
        else:
            task.cancel()
    await task


async def ended(work: Any) -> str:
    """The outcome by name."""
    try:
        await work
    except RpcErrors as error:
        code: Any = error.code()
        return str(code.name)
    except asyncio.CancelledError:
        return "CANCELLED"
    except asyncio.InvalidStateError:
        return "WRITTEN TOO LATE"  # grpc.aio's word for a call that ended before the write
    return "OK"


def kinds(client: str) -> Any:
    """grpc.aio's own ``write`` waits for ever when its call ends before it began, so it gets no calls that write."""
    return (unary, server_stream) if client == "grpcio" else (unary, client_stream, server_stream, duplex)


@pytest.mark.parametrize("seed", SEEDS)
async def test_cancellations_and_deadlines_at_random_times_disturb_no_other_call(pair: Pair, seed: int) -> None:
    dice = random.Random(seed)
    calls = [
        dice.choice(kinds(pair.client_library))(pair, random.Random(dice.random()), pair.stub) for _ in range(CALLS)
    ]
    outcomes = Counter(await asyncio.gather(*calls))

    assert set(outcomes) <= {"OK", "CANCELLED", "DEADLINE_EXCEEDED", "WRITTEN TOO LATE"}
    assert outcomes["OK"] > 0
    assert outcomes["CANCELLED"] > 0
    assert outcomes["DEADLINE_EXCEEDED"] > 0
    assert await pair.stub.EmptyCall(pair.pb.Empty()) == pair.pb.Empty()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("client", "library"), [("h2grpc", "grpcio"), ("grpcio", "h2grpc"), ("h2grpc", "h2grpc")])
async def test_a_server_that_keeps_restarting_fails_calls_and_then_serves_again(
    generated: Generated, tmp_path: Path, client: str, library: str, seed: int
) -> None:
    dice = random.Random(seed)
    handler = servicer(generated.pb, generated.stubs)
    address = f"unix:{tmp_path}/socket"
    server = await serve(library, generated, handler, address)
    outcomes: Counter[str] = Counter()
    async with channel_to(client, address) as channel:
        stub = generated.stubs.TestServiceStub(channel)
        pair = Pair(generated.pb, stub, handler, channel, server, client, library, generated.stubs, address)
        for _ in range(4):
            calls = [
                asyncio.ensure_future(dice.choice(kinds(client))(pair, random.Random(dice.random()), stub))
                for _ in range(30)
            ]
            for _ in range(dice.randrange(40)):
                await asyncio.sleep(0)
            await server.stop(None)
            outcomes.update(await asyncio.gather(*calls))
            server = await serve(library, generated, handler, address)
            assert await stub.EmptyCall(generated.pb.Empty(), wait_for_ready=True, timeout=20) == generated.pb.Empty()
    await server.stop(None)

    assert set(outcomes) <= {
        "OK",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "UNAVAILABLE",
        "WRITTEN TOO LATE",
        *(("UNKNOWN",) if library == "grpcio" else ()),  # what grpc.aio makes of a handler that stop() cancels
    }


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_left_after_faults(generated: Generated, tmp_path: Path, seed: int) -> None:
    address = f"unix:{tmp_path}/socket"
    tasks, files = asyncio.all_tasks(), open_files()
    async with AsyncExitStack() as stack:
        pair = await Pair.start(stack, generated, "h2grpc", "h2grpc", address)
        dice = random.Random(seed)
        calls = [dice.choice(kinds("h2grpc"))(pair, random.Random(dice.random()), pair.stub) for _ in range(CALLS)]
        await asyncio.gather(*calls)
        await pair.stub.EmptyCall(pair.pb.Empty())
        held = pair.server.counters["held_bytes"], pair.channel.counters["held_bytes"]
        running = pair.servicer.running
    gc.collect()

    assert held == (0, 0)
    assert running == 0
    assert asyncio.all_tasks() == tasks
    assert open_files() <= files


async def test_thousands_of_calls_at_once_are_answered(pair: Pair) -> None:
    if pair.client_library == "grpcio":
        pytest.skip("the server's side of this is in test_server_grpcio")
    count = 5_000 if pair.server_library == "h2grpc" else 900  # grpcio's server cancels what queues beyond a thousand
    sizes = [number % 50 for number in range(count)]
    answers = await asyncio.gather(*(pair.stub.UnaryCall(pair.pb.SimpleRequest(response_size=size)) for size in sizes))

    assert [len(answer.payload.body) for answer in answers] == sizes
