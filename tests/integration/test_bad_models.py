"""R models that hang, crash, leak or fail on one row: only the guilty request pays, and the worker is back."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.integration.conftest import IllTreated
from tests.support.many import Came, Many, many, row_of
from tests.support.rough import body

SOON = "400"
"""Milliseconds that a caller of a model that hangs is ready to wait."""
MATES = (1.0, 1.5, 2.0, 2.5, 3.0)


async def gathered(rough: IllTreated, clients: Many, endpoint: str, *acts: tuple[float, str]) -> list[Came]:
    """The answers to rows that left together, because they gathered behind one that held the only worker."""
    with rough.gates[endpoint].closed() as gate:
        holder = asyncio.create_task(clients.score(endpoint, body(4.0, "wait")))
        await clients.in_flight(1)
        rows = [asyncio.create_task(clients.score(endpoint, body(wt, act))) for wt, act in acts]
        await clients.in_flight(1 + len(rows))
        gate.open()
        assert (await holder).json == rough.right(4.0)
        return [await row for row in rows]


@pytest.mark.parametrize("act", ["hang", "sleep"])
async def test_who_asks_a_model_that_hangs_hears_so_at_the_deadline(rough: IllTreated, act: str) -> None:
    since = rough.stack.mark()
    async with many(rough.stack) as clients:
        came = await clients.score("lone", body(2.0, act), timeout_ms=SOON)
        await asyncio.to_thread(rough.stack.event, "worker.interrupted", since)
        after = await clients.score("lone", body(2.0))

    assert (came.status, came.message) == (408, "the deadline passed before the answer was there")
    assert after.json == rough.right(2.0)


async def test_a_grpc_caller_of_a_model_that_hangs_hears_deadline_exceeded(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        request = row_of("lone", 2.0, "hang")
        call = clients.stub.ModelInfer(request, metadata=clients.metadata, timeout=int(SOON) / 1000)
        code = await call.code()
        after = await clients.infer("lone", 2.0)

    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert after == rough.right(2.0)


async def test_others_are_answered_while_one_worker_is_held(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        with rough.gates["pair"].closed():
            held = asyncio.create_task(clients.score("pair", body(2.0, "wait")))
            await clients.in_flight(1)
            others = [await clients.score("pair", body(wt)) for wt in MATES]
        came = await held

    assert [other.json for other in [*others, came]] == [rough.right(wt) for wt in [*MATES, 2.0]]


async def test_rows_that_wait_behind_a_hanging_one_are_answered_after_it(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        guilty = asyncio.create_task(clients.score("lone", body(2.0, "sleep"), timeout_ms=SOON))
        await clients.in_flight(1)
        others = await asyncio.gather(*(clients.score("lone", body(wt)) for wt in MATES))

    assert (await guilty).status == 408
    assert [other.json for other in others] == [rough.right(wt) for wt in MATES]


@pytest.mark.parametrize("endpoint", ["pair", "lone"])
async def test_a_row_that_crashes_its_worker_is_refused_and_the_workers_come_back(
    rough: IllTreated, endpoint: str
) -> None:
    async with many(rough.stack) as clients:
        since = rough.stack.mark()
        came = await clients.score(endpoint, body(2.0, "crash"))
        after = [await clients.score(endpoint, body(wt)) for wt in MATES]
        await asyncio.to_thread(rough.stack.event, "workers.worker_died", since, status=-11)

    assert (came.status, came.message) == (503, "the worker was lost before it answered")
    assert [other.json for other in after] == [rough.right(wt) for wt in MATES]


async def test_who_shares_a_batch_with_a_crash_is_answered_right_or_refused(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        acts = [(wt, "none") for wt in MATES]
        came = await gathered(rough, clients, "lone", *acts[:2], (2.0, "crash"), *acts[2:])
        guilty = came.pop(2)
        after = await clients.score("lone", body(2.0))

    assert guilty.status == 503
    assert [other.json == rough.right(wt) or other.status == 503 for other, wt in zip(came, MATES, strict=True)] == [
        True
    ] * len(MATES)
    assert after.json == rough.right(2.0)


async def test_one_bad_row_fails_only_its_own_request(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        acts = [(wt, "none") for wt in MATES]
        came = await gathered(rough, clients, "lone", *acts[:2], (2.0, "stop"), *acts[2:])
        guilty = came.pop(2)

    assert (guilty.status, guilty.message) == (424, "no answer for this row")
    assert [other.json for other in came] == [rough.right(wt) for wt in MATES]


async def test_rows_that_gathered_are_scored_as_one_batch(rough: IllTreated) -> None:
    since = batches(rough, "lone")
    async with many(rough.stack) as clients:
        came = await gathered(rough, clients, "lone", *((wt, "none") for wt in MATES))

    assert [other.json for other in came] == [rough.right(wt) for wt in MATES]
    assert batches(rough, "lone") - since == 2


async def test_a_model_that_leaks_is_replaced_without_a_failed_request(rough: IllTreated) -> None:
    since = rough.stack.mark()
    (worker,) = rough.stack.workers("leaky/blue")
    replaced = asyncio.create_task(asyncio.to_thread(rough.stack.reconnected, "leaky/blue", since))
    came: list[Came] = []

    async def leak(clients: Many) -> None:
        while not replaced.done():
            came.append(await clients.score("leaky", body(2.0, "leak")))

    async with many(rough.stack) as clients:
        await asyncio.gather(*(leak(clients) for _ in range(4)))
        await replaced
        after = await clients.score("leaky", body(2.0))

    rough.stack.event("worker.memory_limit_passed", since)
    assert {(one.status, *one.json) for one in [*came, after]} == {(200, *rough.right(2.0))}
    assert rough.stack.workers("leaky/blue") != [worker]


def batches(rough: IllTreated, endpoint: str) -> int:
    """Batches that were scored so far."""
    return int(rough.stack.metric(f'lockgate_batch_rows_count{{deployment="blue",endpoint="{endpoint}",gateway="0"}}'))
