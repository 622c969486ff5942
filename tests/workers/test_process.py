"""A real worker process, spoken to as a gateway does."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from tests.support import onnx_models
from tests.support.scripted_runtime import Do
from tests.support.worker_process import batch, connected, free_address, numbers, running
from workers.lifecycle import Exit
from workers.options import GroupOptions, WorkerOptions
from workers.turns import Turn, turn_path
from workers.wire.v1 import worker_pb2 as wire


@pytest.fixture(autouse=True)
async def limit() -> AsyncIterator[None]:
    async with asyncio.timeout(30):
        yield


async def opened(gate: Path) -> None:
    """Let a batch that waits at the gate go on."""
    await asyncio.to_thread(lambda: os.close(os.open(gate, os.O_WRONLY)))


async def rest_of(call: Any) -> list[list[int]]:
    """The answers until the worker ends the stream."""
    answers = []
    while (reply := await call.read()) is not grpc.aio.EOF:
        answers.append(numbers(reply))
    return answers


async def read_state(call: Any) -> int:
    """The next announced state; replies to batches are passed over."""
    while True:
        reply = await call.read()
        if reply.state:
            state: int = reply.state
            return state


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_an_onnx_model_answers_over_any_address(tmp_path: Path, kind: str) -> None:
    model = onnx_models.mlp(tmp_path / "model.onnx")
    rows = np.array([[1, 2, 3, 4], [0, -1, 2, 9]], dtype="f4")
    address = free_address() if kind == "tcp" else None
    async with connected(model, "onnx", address, max_rows=4) as (_, gateway):
        call = await gateway.stream()
        await call.write(wire.Batch(id=5, rows=2, records=rows.tobytes()))
        reply = await call.read()

    assert (reply.id, reply.rows) == (5, 2)
    np.testing.assert_allclose(np.frombuffer(reply.records, "f4"), onnx_models.mlp_answers(rows), rtol=1e-4)
    assert reply.compute_ns > 0


async def test_strings_travel_beside_the_records(tmp_path: Path) -> None:
    model = onnx_models.columns(tmp_path / "model.onnx")
    async with connected(model, "onnx", max_rows=2) as (_, gateway):
        call = await gateway.stream()
        message = wire.Batch(id=1, rows=2, records=struct.pack("<fqfq", 1.5, 2, 3, 4))
        message.texts.append(wire.Text(values=["ab", ""], missing=[1]))
        await call.write(message)
        reply = await call.read()

    assert list(reply.texts[0].values) == ["ab", ""]
    assert np.frombuffer(reply.records, "f4").tolist() == [3.0, 12.0]


async def test_describe_tells_what_was_loaded(tmp_path: Path) -> None:
    model = onnx_models.mlp(tmp_path / "model.onnx")
    async with connected(model, "onnx") as (worker, gateway):
        description = await gateway.stub.Describe(wire.DescribeRequest())

    assert [(c.name, c.datatype, list(c.shape)) for c in description.inputs] == [("x", "FP32", [4])]
    assert (description.platform, description.device) == ("onnx_onnxruntime", "cpu")
    assert description.pid == worker.process.pid


async def test_a_worker_is_pinned_to_its_cores(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    workers = [WorkerOptions(name="e/d/0", address=f"unix:{tmp_path}/w.sock", cores=[core])]
    async with connected(tmp_path, workers=workers) as (worker, _):
        assert os.sched_getaffinity(worker.process.pid) == {core}


async def test_the_health_service_says_serving(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, gateway):
        stub = health_pb2_grpc.HealthStub(gateway.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service="lockgate.workers.v1.Worker"))

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_many_batches_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, gateway):
        call = await gateway.stream()

        async def send() -> None:
            for i in range(500):
                await call.write(batch(i + 1, *range(i, i + 1 + i % 7)))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            answers = {reply.id: numbers(reply) for reply in [await call.read() for _ in range(500)]}

    assert answers == {i + 1: list(range(i, i + 1 + i % 7)) for i in range(500)}


async def test_each_stream_gets_the_replies_to_its_own_batches(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, gateway):
        first, second = await gateway.stream(), await gateway.stream()
        for i in range(20):
            await first.write(batch(i + 1, i))
            await second.write(batch(i + 1, 1000 + i))
        answers = [[numbers(await call.read()) for _ in range(20)] for call in (first, second)]

    assert answers == [[[i] for i in range(20)], [[1000 + i] for i in range(20)]]


@pytest.mark.parametrize(
    ("command", "code", "kind", "text"),
    [
        (Do.RAISE, wire.Failure.MODEL, "simpleError", "no such level"),
        (Do.CRASH, wire.Failure.INTERNAL, "AttributeError", "the worker failed"),
        (Do.REFUSE, wire.Failure.INVALID, "", "not this one"),
    ],
)
async def test_a_failed_batch_says_whose_fault_it_was(
    tmp_path: Path, command: Do, code: int, kind: str, text: str
) -> None:
    async with connected(tmp_path) as (_, gateway):
        call = await gateway.stream()
        await call.write(batch(1, command))
        await call.write(batch(2, 7))
        failure, after = (await call.read()).failure, await call.read()

    assert (failure.code, failure.kind, failure.message) == (code, kind, text)
    assert numbers(after) == [7]


async def test_a_batch_whose_size_lies_is_invalid(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, gateway):
        call = await gateway.stream()
        await call.write(wire.Batch(id=1, rows=3, records=bytes(16)))
        reply = await call.read()

    assert reply.failure.code == wire.Failure.INVALID
    assert reply.failure.message == "expected 3 records of 8 bytes, got 16 bytes"


async def test_a_stream_that_the_gateway_ends_is_answered_to_its_end(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, gateway):
        call = await gateway.stream()
        for i in range(3):
            await call.write(batch(i + 1, i))
        await call.done_writing()
        answers = await rest_of(call)

    assert answers == [[0], [1], [2]]


async def test_sigterm_answers_what_is_queued_and_leaves_with_0(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    async with connected(tmp_path) as (worker, gateway):
        call = await gateway.stream()
        await call.write(batch(1, Do.WAIT))
        for i in range(2, 5):
            await call.write(batch(i, i))
        worker.process.send_signal(signal.SIGTERM)
        state = await read_state(call)  # announced while the model computes
        await opened(tmp_path / "gate")
        answers = await rest_of(call)

        assert state == wire.DRAINING
        assert answers == [[Do.WAIT], [2], [3], [4]]
        assert await worker.left() == Exit.DRAINED


async def test_drain_answers_after_the_last_batch(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    async with connected(tmp_path) as (worker, gateway):
        call = await gateway.stream()
        await call.write(batch(1, Do.WAIT))
        await call.write(batch(2, 2))
        drain = gateway.stub.Drain(wire.DrainRequest(grace_ms=20_000))
        assert await read_state(call) == wire.DRAINING
        await opened(tmp_path / "gate")

        assert await rest_of(call) == [[Do.WAIT], [2]]
        assert (await drain).unfinished == 0
        assert await worker.left() == Exit.DRAINED


async def test_a_batch_over_its_budget_is_interrupted_and_the_worker_goes_on(tmp_path: Path) -> None:
    async with connected(tmp_path, interrupt_grace_ms=20_000) as (_, gateway):
        call = await gateway.stream()
        await call.write(batch(1, Do.HANG, budget_ms=30))
        stopped = await call.read()
        await call.write(batch(2, 2))

        assert stopped.failure.code == wire.Failure.TIMEOUT
        assert numbers(await call.read()) == [2]


async def test_a_batch_without_a_budget_is_held_to_the_hard_limit(tmp_path: Path) -> None:
    async with connected(tmp_path, timeout_ms=30, interrupt_grace_ms=20_000) as (_, gateway):
        call = await gateway.stream()
        await call.write(batch(1, Do.HANG))

        assert (await call.read()).failure.code == wire.Failure.TIMEOUT


async def test_a_model_that_ignores_the_interrupt_takes_its_process_along(tmp_path: Path) -> None:
    async with connected(tmp_path, interrupt_grace_ms=30) as (worker, gateway):
        call = await gateway.stream()
        await call.write(batch(1, Do.HANG_FOR_EVER, budget_ms=30))
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await call.read()

        assert broken.value.code() == grpc.StatusCode.UNAVAILABLE
        assert await worker.left() == Exit.OVERRUN


async def test_an_onnx_run_over_its_budget_is_interrupted(tmp_path: Path) -> None:
    model = onnx_models.spinning(tmp_path / "model.onnx")
    async with connected(model, "onnx", interrupt_grace_ms=20_000, max_rows=1) as (_, gateway):
        call = await gateway.stream()
        await call.write(wire.Batch(id=1, rows=1, records=struct.pack("<q", 1 << 40), budget_ms=50))
        stopped = await call.read()
        await call.write(wire.Batch(id=2, rows=1, records=struct.pack("<q", 3)))
        after = await call.read()

    assert stopped.failure.code == wire.Failure.TIMEOUT
    assert struct.unpack("<f", after.records) == (6.0,)


async def test_a_brief_model_that_suddenly_computes_on_is_interrupted_and_the_worker_goes_on(tmp_path: Path) -> None:
    model = onnx_models.spinning(tmp_path / "model.onnx")
    async with connected(model, "onnx", interrupt_grace_ms=20_000, max_rows=1) as (_, gateway):
        call = await gateway.stream()
        for number in (1, 2):  # the second on the server's thread, as will the third be
            await call.write(wire.Batch(id=number, rows=1, records=struct.pack("<q", 3)))
            await call.read()
        await call.write(wire.Batch(id=3, rows=1, records=struct.pack("<q", 1 << 40), budget_ms=50))
        stopped = await call.read()
        await call.write(wire.Batch(id=4, rows=1, records=struct.pack("<q", 3)))
        after = await call.read()

    assert (stopped.id, stopped.failure.code) == (3, wire.Failure.TIMEOUT)
    assert struct.unpack("<f", after.records) == (6.0,)


async def test_drain_waits_for_a_batch_that_computes_on_the_servers_thread(tmp_path: Path) -> None:
    model = onnx_models.spinning(tmp_path / "model.onnx")
    async with connected(model, "onnx", interrupt_grace_ms=20_000, max_rows=1) as (worker, gateway):
        call = await gateway.stream()
        for number in (1, 2):
            await call.write(wire.Batch(id=number, rows=1, records=struct.pack("<q", 3)))
            await call.read()
        await call.write(wire.Batch(id=3, rows=1, records=struct.pack("<q", 1 << 40), budget_ms=400))
        worker.process.send_signal(signal.SIGTERM)
        codes = []
        while (reply := await call.read()) is not grpc.aio.EOF:
            codes += [(reply.id, reply.failure.code)] if reply.id else []

        assert codes == [(3, wire.Failure.TIMEOUT)]
        assert await worker.left() == Exit.DRAINED


def siblings(folder: Path) -> list[WorkerOptions]:
    return [
        WorkerOptions(name=f"e/d/{i}", address=f"unix:{folder}/{name}") for i, name in enumerate(("w.sock", "v.sock"))
    ]


async def test_a_rest_with_siblings_is_announced_before_and_after(tmp_path: Path) -> None:
    async with connected(tmp_path, workers=siblings(tmp_path)) as (_, gateway):
        call = await gateway.stream()
        await call.write(batch(1, Do.TIRE))

        assert await read_state(call) == wire.RESTING
        assert await read_state(call) == wire.READY
        assert (tmp_path / "rested").exists()


async def test_a_worker_does_not_rest_while_a_sibling_has_the_turn(tmp_path: Path) -> None:
    turn = Turn(turn_path(GroupOptions(model=str(tmp_path), workers=siblings(tmp_path))))
    assert turn.try_take()
    async with connected(tmp_path, workers=siblings(tmp_path)) as (_, gateway):
        call = await gateway.stream()
        await call.write(batch(1, Do.TIRE))
        replies = [await call.read()]
        for i in range(2, 30):
            await call.write(batch(i, i))
            replies.append(await call.read())
        is_rested = (tmp_path / "rested").exists()
        turn.give_back()

        assert not is_rested
        assert all(reply.state == wire.STATE_UNSPECIFIED for reply in replies)
        assert await read_state(call) == wire.RESTING


async def test_past_its_memory_limit_a_worker_leaves_to_be_replaced(tmp_path: Path) -> None:
    async with connected(tmp_path, memory_limit_mb=1) as (worker, gateway):
        call = await gateway.stream()
        await call.write(batch(1, 1))

        assert numbers(await call.read()) == [1]
        assert await read_state(call) == wire.DRAINING
        assert await worker.left() == Exit.RECYCLE


async def test_a_model_that_cannot_be_loaded_is_told_and_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    async with running(tmp_path) as worker:
        event = await worker.event("failed")

        assert event == {"event": "failed", "worker": "e/d/0", "error": "the model is broken"}
        assert await worker.left() == Exit.LOAD_FAILED


async def test_an_address_that_is_taken_is_told_and_ends_the_process(tmp_path: Path) -> None:
    address = free_address()
    async with connected(tmp_path, address=address), running(tmp_path, address=address) as second:
        event = await second.event("failed")

        assert address in event["error"]
        assert await second.left() == Exit.SERVE_FAILED


async def test_a_socket_that_a_killed_worker_left_behind_is_taken_over(tmp_path: Path) -> None:
    async with connected(tmp_path) as (first, _):
        first.process.kill()
        await first.left()
    async with connected(tmp_path) as (_, gateway):
        call = await gateway.stream()
        await call.write(batch(1, 1))

        assert numbers(await call.read()) == [1]
