"""Rows that have one try are not scored again after a worker was lost with them, whoever shared their batch."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from gateway.core.errors import ModelFailed, WorkerFailed
from gateway.core.scoring import WorkerLost
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from tests.support.held_scorer import HeldScorer, numbers, rows_of
from tests.support.virtual_loop import VirtualLoop, on_virtual_time, settle


class Bench:
    """One worker, and both kinds of callers."""

    def __init__(self, max_rows: int = 32) -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.scorer = HeldScorer()
        self.batcher = Batcher("e/d", BatchConfig(max_rows=max_rows), self.scorer, clock=self.loop.time)

    def deadline(self) -> float:
        return self.loop.now + 5


@on_virtual_time
async def test_a_batch_that_was_lost_is_tried_again_without_those_that_have_one_try() -> None:
    bench = Bench()
    once = bench.batcher.accept_once(rows_of(1), bench.deadline())
    again = bench.batcher.accept(rows_of(2), bench.deadline())
    await settle()
    bench.scorer.fail(WorkerLost("gone", "w1"))
    await settle()
    bench.scorer.answer()
    await settle()

    assert bench.scorer.seen == [[1, 2], [2]]
    assert isinstance(once.reply.exception(), WorkerFailed)
    assert numbers(again.reply.result()) == [1002]


@on_virtual_time
async def test_the_parts_of_a_large_request_have_one_try_too() -> None:
    bench = Bench(max_rows=2)
    once = bench.batcher.accept_once(rows_of(1, 2, 3), bench.deadline())
    await settle()
    bench.scorer.fail(WorkerLost("gone", "w1"))
    await settle()
    seen = [row for batch in bench.scorer.seen for row in batch]

    assert seen.count(1) + seen.count(2) <= 2
    with pytest.raises(WorkerFailed):
        once.reply.result()


@on_virtual_time
async def test_a_bad_batch_mate_is_found_out_all_the_same() -> None:
    bench = Bench()
    good = bench.batcher.accept_once(rows_of(1), bench.deadline())
    bad = bench.batcher.accept_once(rows_of(2), bench.deadline())
    await settle()
    bench.scorer.fail(ModelFailed("boom"))
    await settle()
    bench.scorer.answer()
    await settle()
    bench.scorer.fail(ModelFailed("boom"))
    await settle()

    assert numbers(good.reply.result()) == [1001]
    assert isinstance(bad.reply.exception(), ModelFailed)
