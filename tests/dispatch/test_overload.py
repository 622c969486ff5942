"""Overload in virtual time: three times the capacity, and a worker that now and then stops to collect garbage."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from gateway.core.deadline import Deadline
from gateway.core.errors import DeadlineExceeded, Overloaded
from gateway.core.rows import Rows
from gateway.core.scoring import Outcome, Scored
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from tests.support.held_scorer import rows_of
from tests.support.virtual_loop import on_virtual_time

SECONDS = 20.0
DEADLINE = 0.25
ROW = 0.0013
PAUSE, PAUSE_EVERY = 0.115, 1.0


class Pausing:
    """``Scorer`` of one worker with two places: computes batches in turn, and pauses before some."""

    def __init__(self, random_: random.Random) -> None:
        self.places, self.spare, self.is_ready, self.computed = 2, 0, True, 0
        self._random, self._callbacks = random_, list[Callable[[], None]]()
        self._loop = asyncio.get_running_loop()
        self._free_at = 0.0
        self._pause_at = self._loop.time() + PAUSE_EVERY

    def on_place(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def off_place(self, callback: Callable[[], None]) -> None:
        self._callbacks.remove(callback)

    def send(self, rows: Rows, deadline: Deadline, on_end: Callable[[Outcome], None], avoid: str = "") -> None:
        self.places -= 1
        now = self._loop.time()
        start = max(now, self._free_at)
        took = 0.001 + ROW * rows.count * self._random.lognormvariate(0, 0.25)
        if start > self._pause_at:
            self._pause_at = start + PAUSE_EVERY
            took += PAUSE
        self._free_at = start + took
        self._loop.call_at(self._free_at, self._end, rows, on_end, took)

    def _end(self, rows: Rows, on_end: Callable[[Outcome], None], took: float) -> None:
        self.places += 1
        self.computed += rows.count
        on_end(Scored(rows, took))
        for callback in self._callbacks:
            callback()


@on_virtual_time
async def test_hardly_a_row_is_computed_for_nobody() -> None:
    loop, random_ = asyncio.get_running_loop(), random.Random(1)
    scorer = Pausing(random_)
    batcher = Batcher("e/d", BatchConfig(max_rows=4, max_queue_rows=4096), scorer, clock=loop.time)
    outcomes: Counter[str] = Counter()

    async def ask() -> None:
        try:
            await batcher.accept(rows_of(1), loop.time() + DEADLINE).reply
            outcomes["answered"] += 1
        except (Overloaded, DeadlineExceeded) as error:
            outcomes[type(error).__name__] += 1

    async with asyncio.TaskGroup() as callers:
        end = loop.time() + SECONDS
        while loop.time() < end:
            await asyncio.sleep(random_.expovariate(3 * 4 / (0.001 + 4 * ROW)))
            callers.create_task(ask())

    assert outcomes["answered"] > 0.97 * scorer.computed, outcomes
    assert outcomes["Overloaded"] > 10 * outcomes["DeadlineExceeded"], outcomes
