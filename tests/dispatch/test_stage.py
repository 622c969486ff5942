from __future__ import annotations

import asyncio
from typing import cast

import pytest

from gateway.core.access import Principal
from gateway.core.errors import DeadlineExceeded, NotReady
from gateway.core.payload import Records
from gateway.core.request import Deployment, Enriched, Received
from gateway.core.signature import Signature
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.stage import Dispatch
from tests.support.held_scorer import LAYOUT, HeldScorer, numbers, rows_of
from tests.support.virtual_loop import VirtualLoop, on_virtual_time, settle

DEPLOYMENT = Deployment(
    endpoint="e", name="d", signature=Signature(inputs=LAYOUT.columns, outputs=LAYOUT.columns), platform="r"
)


class Bench:
    def __init__(self) -> None:
        loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.scorer = HeldScorer()
        self.batcher = Batcher("e/d", BatchConfig(), self.scorer, clock=loop.time)
        self.stage = Dispatch(lambda deployment: self.batcher)
        received = Received("e", None, None, None, lambda: Records([]), "rest", "peer")
        self.request = Enriched(received, Principal("p"), DEPLOYMENT, loop.now + 5, rows_of(1))

    @property
    def stages(self) -> list[str]:
        return [stage for stage, _ in self.request.received.timeline.stages]


@on_virtual_time
async def test_the_answer_belongs_to_the_deployment_and_says_where_the_time_went() -> None:
    bench = Bench()
    task = asyncio.create_task(bench.stage(bench.request))
    await settle()
    bench.scorer.answer()
    answer = await task

    assert (answer.deployment, numbers(answer.rows)) == (DEPLOYMENT, [1001])
    assert bench.stages == ["queue", "worker", "compute"]
    assert bench.request.received.timeline.stages[2] == ("compute", 0.25)


@on_virtual_time
async def test_a_request_that_never_left_spent_its_time_in_the_queue() -> None:
    bench = Bench()
    bench.scorer.change(places=0)
    with pytest.raises(DeadlineExceeded):
        await bench.stage(bench.request)

    assert bench.stages == ["queue"]


@on_virtual_time
async def test_a_request_that_expired_at_a_worker_spent_its_time_there_and_nothing_is_said_of_the_model() -> None:
    bench = Bench()
    with pytest.raises(DeadlineExceeded):
        await bench.stage(bench.request)

    assert bench.stages == ["queue", "worker"]


@on_virtual_time
async def test_a_caller_that_is_cancelled_while_a_worker_has_its_rows_spent_its_time_there() -> None:
    bench = Bench()
    task = asyncio.create_task(bench.stage(bench.request))
    await settle()
    task.cancel()
    await asyncio.wait([task])

    assert bench.stages == ["queue", "worker"]


@on_virtual_time
async def test_a_caller_that_is_cancelled_leaves_the_line() -> None:
    bench = Bench()
    bench.scorer.change(places=0)
    task = asyncio.create_task(bench.stage(bench.request))
    await settle()
    task.cancel()
    await asyncio.wait([task])

    assert (task.cancelled(), bench.batcher.rows_waiting) == (True, 0)


@on_virtual_time
async def test_a_deployment_that_has_left_is_refused() -> None:
    def gone(deployment: Deployment) -> Batcher:
        raise NotReady(f"{deployment.name} is not served any more")

    bench = Bench()
    with pytest.raises(NotReady):
        await Dispatch(gone)(bench.request)
