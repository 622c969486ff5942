"""More than fits: refused at once and in so many words, never left hanging; what was let in is answered."""

from __future__ import annotations

import asyncio

import grpc

from tests.integration.conftest import IllTreated
from tests.support.many import many, row_of
from tests.support.rough import body
from tests.support.stack import PATIENCE

QUEUE = 4
"""``max_queue_rows`` of the endpoint ``small``."""
WEIGHTS = (1.0, 1.5, 2.0, 2.5)


async def test_a_full_queue_refuses_with_429_and_says_when_to_come_again(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        with rough.gates["small"].closed() as gate:
            held = asyncio.create_task(clients.score("small", body(3.0, "wait")))
            await clients.in_flight(1)
            queued = [asyncio.create_task(clients.score("small", body(wt))) for wt in WEIGHTS]
            await clients.in_flight(1 + QUEUE)
            refused = await clients.score("small", body(2.0))
            gate.open()
            answered = [await task for task in (held, *queued)]

    assert (refused.status, refused.json["error"]["code"]) == (429, "TooManyRequests")
    assert int(refused.headers["Retry-After"]) >= 1
    assert [one.json for one in answered] == [rough.right(wt) for wt in (3.0, *WEIGHTS)]


async def test_a_full_queue_refuses_with_resource_exhausted_over_grpc(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        with rough.gates["small"].closed():
            held = asyncio.create_task(clients.score("small", body(3.0, "wait")))
            await clients.in_flight(1)
            queued = [asyncio.create_task(clients.score("small", body(wt))) for wt in WEIGHTS]
            await clients.in_flight(1 + QUEUE)
            call = clients.stub.ModelInfer(row_of("small", 2.0), metadata=clients.metadata, timeout=PATIENCE)
            code, trailers = await call.code(), dict(await call.trailing_metadata() or ())
        answered = [await task for task in (held, *queued)]

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(trailers["grpc-retry-pushback-ms"]) >= 1
    assert {one.status for one in answered} == {200}


async def test_three_times_what_fits_is_answered_right_or_refused_and_nobody_hangs(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        weights = [WEIGHTS[i % len(WEIGHTS)] for i in range(120)]
        came = await asyncio.gather(*(clients.score("small", body(wt, "nap"), timeout_ms="10000") for wt in weights))
        after = await clients.score("small", body(2.0))

    right = [one for one, wt in zip(came, weights, strict=True) if one.json == rough.right(wt)]
    refused = [one for one in came if one.status == 429]

    assert len(right) + len(refused) == len(came)
    assert len(right) >= QUEUE
    assert all(int(one.headers["Retry-After"]) >= 1 for one in refused)
    assert after.json == rough.right(2.0)


async def test_what_expires_in_the_queue_is_never_computed(rough: IllTreated) -> None:
    series = 'lockgate_rows_total{deployment="blue",endpoint="small",gateway="0"}'
    async with many(rough.stack) as clients:
        with rough.gates["small"].closed():
            before = await asyncio.to_thread(rough.stack.metric, series)
            held = asyncio.create_task(clients.score("small", body(3.0, "wait")))
            await clients.in_flight(1)
            expired = [await clients.score("small", body(2.0), timeout_ms="20") for _ in range(3)]
        await held
    computed = await asyncio.to_thread(rough.stack.metric, series) - before

    assert [one.status for one in expired] == [408] * 3
    assert computed == 1
