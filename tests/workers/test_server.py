"""The Score handler by itself: a request iterator in, an async generator out, no wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.scripted_runtime import loaded
from tests.support.worker_process import batch
from workers.codec import BatchCodec, describe
from workers.inbox import Inbox, Job
from workers.lifecycle import Lifecycle, State
from workers.server import WorkerServicer
from workers.wire.v1 import worker_pb2 as wire


class Sent:
    """The request iterator: what the gateway has sent so far."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[wire.Batch | None] = asyncio.Queue()

    def send(self, message: wire.Batch | None) -> None:
        """A batch, or None for the end."""
        self._batches.put_nowait(message)

    async def __aiter__(self) -> AsyncIterator[wire.Batch]:
        while (message := await self._batches.get()) is not None:
            yield message


class Bench:
    def __init__(self, limit: int = 8) -> None:
        self.inbox = Inbox(limit)
        self.drains: list[float] = []
        self.scores_at_once = False
        self.lifecycle = Lifecycle(self._announce)
        self.servicer = WorkerServicer(
            codec=BatchCodec(loaded()),
            inbox=self.inbox,
            at_once=self._at_once,
            lifecycle=self.lifecycle,
            description=describe(loaded()),
            drain=self.drains.append,
            clock=lambda: 100.0,
        )
        self.lifecycle.move(State.READY)

    def _at_once(self, job: Job) -> wire.Reply | None:
        return wire.Reply(id=job.id, rows=1) if self.scores_at_once else None

    def _announce(self, state: State) -> None:
        self.servicer.announce(state)

    async def taken(self) -> Job:
        job = await asyncio.to_thread(self.inbox.take, 10)
        assert job is not None
        return job


@pytest.fixture(autouse=True)
async def limit() -> AsyncIterator[None]:
    async with asyncio.timeout(20):
        yield


async def test_the_first_reply_is_the_state_of_the_worker() -> None:
    bench = Bench()
    bench.lifecycle.move(State.RESTING)

    assert (await anext(bench.servicer.Score(aiter(Sent()), None))).state == wire.RESTING


async def test_a_job_knows_when_its_last_caller_gives_up() -> None:
    bench, sent = Bench(), Sent()
    replies = bench.servicer.Score(aiter(sent), None)
    await anext(replies)
    sent.send(batch(1, 5, budget_ms=250))
    sent.send(batch(2, 5))
    jobs = [await bench.taken(), await bench.taken()]

    assert [(job.id, job.deadline) for job in jobs] == [(1, 100.25), (2, None)]


async def test_a_stream_that_is_dropped_tells_its_jobs() -> None:
    bench, sent = Bench(), Sent()
    replies = bench.servicer.Score(aiter(sent), None)
    await anext(replies)
    sent.send(batch(1, 5))
    job = await bench.taken()
    before = job.stream.is_closed
    await replies.aclose()

    assert (before, job.stream.is_closed) == (False, True)


async def test_a_batch_that_finds_the_inbox_full_is_refused() -> None:
    bench, sent = Bench(limit=1), Sent()
    replies = bench.servicer.Score(aiter(sent), None)
    await anext(replies)
    sent.send(batch(1, 5))
    sent.send(batch(2, 5))
    reply = await anext(replies)

    assert (reply.id, reply.failure.code) == (2, wire.Failure.REFUSED)


async def test_a_batch_that_is_scored_at_once_never_reaches_the_inbox() -> None:
    bench, sent = Bench(), Sent()
    bench.scores_at_once = True
    replies = bench.servicer.Score(aiter(sent), None)
    await anext(replies)
    sent.send(batch(1, 5))
    sent.send(None)

    assert [reply.id async for reply in replies] == [1]
    assert bench.inbox.is_empty


async def test_an_invalid_batch_never_reaches_the_inbox() -> None:
    bench, sent = Bench(), Sent()
    replies = bench.servicer.Score(aiter(sent), None)
    await anext(replies)
    sent.send(wire.Batch(id=3, rows=2, records=b"12345678"))

    assert (await anext(replies)).failure.code == wire.Failure.INVALID
    assert bench.inbox.is_empty


async def test_a_stream_ends_only_after_its_accepted_batches_are_answered() -> None:
    bench, sent = Bench(), Sent()
    replies = bench.servicer.Score(aiter(sent), None)
    await anext(replies)
    sent.send(batch(1, 5))
    sent.send(None)
    job = await bench.taken()
    await asyncio.to_thread(job.stream.post, wire.Reply(id=1, rows=1))

    assert [reply.id async for reply in replies] == [1]


async def test_every_stream_hears_of_a_new_state() -> None:
    bench = Bench()
    streams = [bench.servicer.Score(aiter(Sent()), None) for _ in range(2)]
    for replies in streams:
        await anext(replies)
    bench.lifecycle.move(State.RESTING)

    assert [(await anext(replies)).state for replies in streams] == [wire.RESTING, wire.RESTING]


async def test_drain_passes_the_grace_on_and_answers_when_the_model_has_ended() -> None:
    bench = Bench()
    drain = asyncio.create_task(bench.servicer.Drain(wire.DrainRequest(grace_ms=1500), None))
    await asyncio.sleep(0)
    is_early = drain.done()
    bench.servicer.finish(unfinished=2)

    assert (await drain).unfinished == 2
    assert (is_early, bench.drains) == (False, [1.5])


async def test_when_the_model_has_ended_every_stream_ends() -> None:
    bench = Bench()
    replies = bench.servicer.Score(aiter(Sent()), None)
    await anext(replies)
    bench.servicer.finish(unfinished=0)

    assert [reply async for reply in replies] == []
