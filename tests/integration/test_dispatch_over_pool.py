"""Dispatch on a real pool, and workers that die under it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.pool.config import PoolConfig
from gateway.pool.pool import Pool
from tests.support.fake_worker import FakeWorker, answer, description
from tests.support.held_scorer import numbers, rows_of


@asynccontextmanager
async def serving(*workers: FakeWorker) -> AsyncIterator[Batcher]:
    """A batcher over a pool of these workers, once all of them have places."""
    pool = Pool("e/d", [worker.address for worker in workers], PoolConfig(min_backoff_ms=1, max_backoff_ms=5))
    changed = asyncio.Event()
    pool.on_place(changed.set)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.run())
        for worker in workers:
            await worker.start()
        while pool.places < 2 * len(workers):
            changed.clear()
            await changed.wait()
        batcher = Batcher("e/d", BatchConfig(max_rows=4), pool)
        try:
            yield batcher
        finally:
            await batcher.close(5)
            await pool.close()
            for worker in workers:
                await worker.die()


async def ask(batcher: Batcher, *values: int) -> list[int]:
    return numbers(await batcher.accept(rows_of(*values), time.monotonic() + 5).reply)


async def test_a_request_whose_worker_dies_is_answered_by_another(tmp_path: Path) -> None:
    first = FakeWorker(f"unix:{tmp_path}/a", description(pid=1))
    second = FakeWorker(f"unix:{tmp_path}/b", description(pid=2))
    first.script = second.script = lambda batch: None
    async with serving(first, second) as batcher:
        asking = asyncio.create_task(ask(batcher, 1, 2))
        arrivals = {asyncio.create_task(worker.received(1)): worker for worker in (first, second)}
        (done, _) = await asyncio.wait(arrivals, return_when=asyncio.FIRST_COMPLETED)
        victim = arrivals[done.pop()]
        heir = second if victim is first else first
        heir.script = answer
        await victim.die()

        assert await asking == [1001, 1002]

        for task in arrivals:
            task.cancel()


async def test_a_request_whose_only_worker_dies_is_answered_when_it_is_back(tmp_path: Path) -> None:
    worker = FakeWorker(f"unix:{tmp_path}/a")
    worker.script = lambda batch: None
    async with serving(worker) as batcher:
        asking = asyncio.create_task(ask(batcher, 1))
        await worker.received(1)
        await worker.die()
        worker.script = answer
        await worker.start()

        assert await asking == [1001]


async def test_a_stream_of_requests_survives_a_worker_that_keeps_dying(tmp_path: Path) -> None:
    first = FakeWorker(f"unix:{tmp_path}/a", description(pid=1))
    second = FakeWorker(f"unix:{tmp_path}/b", description(pid=2))
    async with serving(first, second) as batcher, asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(ask(batcher, value, value + 1)) for value in range(100)]
        for _ in range(3):
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            await first.die()
            await first.start()
            asking += [tasks.create_task(ask(batcher, value, value + 1)) for value in range(100)]
        answers = [await task for task in asking]

    assert answers == [[value + 1000, value + 1001] for value in range(100)] * 4


async def test_a_large_request_runs_on_all_workers(tmp_path: Path) -> None:
    first = FakeWorker(f"unix:{tmp_path}/a", description(pid=1))
    second = FakeWorker(f"unix:{tmp_path}/b", description(pid=2))
    async with serving(first, second) as batcher:
        answers = await ask(batcher, *range(64))

    assert answers == [value + 1000 for value in range(64)]
    assert min(len(first.batches), len(second.batches)) > 0
