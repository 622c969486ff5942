"""A mirror never delays, fails or changes an answer, whatever its shadow does; and it counts what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from gateway.core.access import Principal
from gateway.core.deadline import Deadline
from gateway.core.errors import InvalidInput, ModelFailed, WorkerFailed
from gateway.core.request import Answer, Deployment, Enriched
from gateway.core.rows import Rows
from gateway.core.scoring import WorkerLost
from gateway.core.signature import Signature
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.stage import Dispatch
from gateway.routing.compare import Comparer
from gateway.routing.mirror import Mirror, Mirrored
from gateway.routing.tally import Tolerance
from tests.support.held_scorer import LAYOUT, OTHER_LAYOUT, HeldScorer, numbers, rows_of
from tests.support.requests import received
from tests.support.virtual_loop import VirtualLoop, on_virtual_time, settle

SIGNATURE = Signature(inputs=LAYOUT.columns, outputs=LAYOUT.columns)


def deployment(name: str, *, is_idempotent: bool = True) -> Deployment:
    return Deployment(endpoint="e", name=name, signature=SIGNATURE, is_idempotent=is_idempotent)


class SameRows:
    """A shadow that takes what the primary takes; or one that must read first, as long as ``reading`` is set."""

    def __init__(self) -> None:
        self.reading: asyncio.Future[Rows] | None = None
        self.error: Exception | None = None

    def rows(self, request: Enriched, shadow: Deployment) -> Rows | None:
        if self.error is not None:
            raise self.error
        return None if self.reading is not None else request.rows

    async def read(self, request: Enriched, shadow: Deployment, deadline: Deadline) -> Rows:
        assert self.reading is not None
        return await self.reading


class Bench:
    """A primary with one worker and a shadow with one, and the mirror between them."""

    def __init__(
        self,
        shadows: dict[str, int] | None = None,
        *,
        max_rows: int = 8,
        replay: int = 0,
        draws: Iterator[float] | None = None,
        is_idempotent: bool = True,
        keep_inputs: bool = False,
    ) -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.workers = {"blue": HeldScorer(), "next": HeldScorer()}
        self.lines = {
            name: Batcher(
                f"e/{name}",
                BatchConfig(max_queue_rows=64),
                scorer,
                is_idempotent=name == "blue" and is_idempotent,
                clock=self.loop.time,
            )
            for name, scorer in self.workers.items()
        }
        self.loaded: dict[str, Deployment] = {"next": deployment("next")}
        self.prepare = SameRows()
        self.primary = deployment("blue", is_idempotent=is_idempotent)
        self.mirror = Mirror(
            "e",
            {"next": 100} if shadows is None else shadows,
            max_rows=max_rows,
            replay_percent=replay,
            keep_inputs=keep_inputs,
            deployment_of=lambda _, name: self.loaded.get(name),
            line_of=lambda deployment: self.lines[deployment.name],
            prepare=self.prepare,
            comparer=partial(Comparer, tolerance=Tolerance(0.0, 0.0), worst_rows=3),
            draw=(draws or cycle([0.5])).__next__,
            clock=self.loop.time,
        )
        self.stage = Mirrored(self.mirror, Dispatch(lambda deployment: self.lines[deployment.name]), self.loop.time)

    def ask(self, *values: int) -> asyncio.Task[Answer]:
        call = received("e")
        call.id = "r1"
        request = Enriched(call, Principal("p"), self.primary, self.loop.now + 5, rows_of(*values))
        return asyncio.create_task(self.stage(request))

    async def answered(self, *values: int) -> Answer:
        """Asked, answered by the primary, and offered to the shadow."""
        task = self.ask(*values)
        await settle()
        self.workers["blue"].answer()
        answer = await task
        await settle()
        return answer

    @property
    def shadow(self) -> HeldScorer:
        return self.workers["next"]

    @property
    def counts(self) -> tuple[int, dict[str, int], dict[str, int]]:
        found = self.mirror.counts[0]
        return found.mirrored, found.dropped, found.failed


@on_virtual_time
async def test_the_shadow_gets_the_primarys_rows_and_both_answers_meet() -> None:
    bench = Bench()
    answer = await bench.answered(1, 2)
    bench.shadow.answer()
    await settle()
    state = bench.mirror.comparers["blue", "next"].state

    assert numbers(answer.rows) == [1001, 1002]
    assert bench.shadow.seen == [[1, 2]]
    assert (state.rows, state.agreeing) == (2, 2)


@on_virtual_time
async def test_the_primary_answers_before_anything_of_the_shadow_begins() -> None:
    bench = Bench()
    task = bench.ask(1)
    await settle()
    bench.workers["blue"].answer()
    begun: list[int] = []
    task.add_done_callback(lambda _: begun.append(len(bench.shadow.seen)))
    await task
    await settle()

    assert begun == [0]
    assert bench.shadow.seen == [[1]]


@on_virtual_time
async def test_a_shadow_that_hangs_costs_the_primary_nothing_and_is_dropped_when_its_rows_are_used_up() -> None:
    bench = Bench(max_rows=3)
    started = bench.loop.now
    for value in range(10):
        assert numbers((await bench.answered(value)).rows) == [value + 1000]

    assert bench.loop.now == started
    assert bench.counts == (3, {"budget": 7}, {})
    assert bench.mirror.rows == 3


@on_virtual_time
async def test_a_shadow_that_hangs_is_given_up_at_its_own_deadline() -> None:
    bench = Bench(max_rows=3)
    await bench.answered(1)
    await asyncio.sleep(6)
    await settle()

    assert bench.counts == (1, {}, {"DeadlineExceeded": 1})
    assert bench.mirror.rows == 0


@on_virtual_time
async def test_a_shadow_a_hundred_times_slower_answers_what_it_can_and_the_rest_is_dropped() -> None:
    bench = Bench(max_rows=2)
    for value in range(200):
        await bench.answered(value)
        if value % 100 == 99:
            bench.shadow.answer()
            await settle()
            bench.shadow.answer()
            await settle()
    mirrored, dropped, failed = bench.counts

    assert (mirrored, dropped, failed) == (4, {"budget": 196}, {})
    assert bench.mirror.comparers["blue", "next"].state.requests == 4


@on_virtual_time
async def test_a_request_larger_than_the_bound_goes_alone() -> None:
    bench = Bench(max_rows=2)
    await bench.answered(1, 2, 3)
    await bench.answered(4)

    assert bench.counts == (1, {"budget": 1}, {})


@on_virtual_time
async def test_a_shadow_whose_worker_dies_is_not_asked_again() -> None:
    bench = Bench()
    await bench.answered(1)
    bench.shadow.fail(WorkerLost("gone", "w1"))
    await settle()

    assert bench.shadow.seen == [[1]]
    assert bench.counts == (1, {}, {"WorkerFailed": 1})
    assert bench.mirror.comparers["blue", "next"].state.only_shadow_failed == 1


GARBAGE = {"too few": rows_of(1), "another column": rows_of(1, 2, layout=OTHER_LAYOUT)}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_from_a_shadow_is_a_finding_and_nothing_else(kind: str) -> None:
    @on_virtual_time
    async def check() -> None:
        bench = Bench()
        answer = await bench.answered(1, 2)
        bench.shadow.answer_with(GARBAGE[kind])
        await settle()
        compared = bench.mirror.comparers["blue", "next"].state

        assert numbers(answer.rows) == [1001, 1002]
        assert (compared.agreeing, bench.mirror.rows) == (0, 0)
        assert compared.only_shadow_failed or compared.unmatched

    check()


@on_virtual_time
async def test_a_defect_of_the_mirror_stays_in_the_mirror() -> None:
    bench = Bench()
    bench.prepare.error = RuntimeError("a bug")
    with capture_logs() as logs:
        answer = await bench.answered(1)

    assert numbers(answer.rows) == [1001]
    assert [event["event"] for event in logs] == ["mirror.crashed"]
    assert bench.counts == (0, {"crashed": 1}, {})


@on_virtual_time
async def test_while_rows_wait_for_the_primary_nothing_is_mirrored() -> None:
    bench = Bench()
    first, second, third = bench.ask(1), bench.ask(2), bench.ask(3)
    await settle()
    bench.workers["blue"].change(places=-1)  # one fails, and what follows finds no worker
    waiting = bench.ask(4)
    await settle()
    bench.workers["blue"].answer()
    await asyncio.gather(first, second, third)
    await settle()

    assert bench.counts == (0, {"pressure": 3}, {})
    waiting.cancel()
    await settle()


@on_virtual_time
async def test_a_full_shadow_refuses_and_that_is_counted() -> None:
    bench = Bench(max_rows=1000)
    for value in range(70):
        await bench.answered(value)

    # One batch of one is being computed and 64 rows wait.
    assert bench.counts == (65, {"shadow_full": 5}, {})


@on_virtual_time
async def test_a_shadow_that_has_not_loaded_is_left_out() -> None:
    bench = Bench()
    bench.loaded.clear()
    await bench.answered(1)

    assert bench.counts == (0, {"not_ready": 1}, {})


@on_virtual_time
async def test_every_shadow_is_drawn_for_by_itself() -> None:
    bench = Bench({"next": 20, "other": 70}, draws=cycle([0.19, 0.7, 0.2, 0.69]))
    bench.loaded["other"] = deployment("other")
    bench.workers["other"] = HeldScorer()
    bench.lines["other"] = Batcher("e/other", BatchConfig(), bench.workers["other"], clock=bench.loop.time)
    # Every request that is mirrored draws once more, for a replay.
    await bench.answered(1)
    await bench.answered(2)

    assert (bench.shadow.seen, bench.workers["other"].seen) == ([[1]], [[2]])


@on_virtual_time
async def test_a_shadow_of_no_percent_gets_nothing() -> None:
    bench = Bench({"next": 0}, draws=cycle([0.0]))
    await bench.answered(1)

    assert bench.counts == (0, {}, {})


@on_virtual_time
async def test_what_is_replayed_is_compared_with_the_primary_itself() -> None:
    bench = Bench(replay=100)
    await bench.answered(1)
    bench.workers["blue"].answer_with(rows_of(999))
    await settle()
    noise = bench.mirror.comparers["blue", "blue"].state

    assert bench.workers["blue"].seen == [[1], [1]]
    assert (noise.rows, noise.agreeing) == (1, 0)


@on_virtual_time
async def test_a_deployment_that_is_not_idempotent_is_never_asked_twice() -> None:
    bench = Bench(replay=100, is_idempotent=False)
    await bench.answered(1)

    assert bench.workers["blue"].seen == [[1]]


@pytest.mark.parametrize("error", [ModelFailed("boom"), WorkerFailed("gone")])
def test_a_request_that_the_primary_fails_is_tried_on_the_shadow(error: Exception) -> None:
    @on_virtual_time
    async def check() -> None:
        bench = Bench()
        task = bench.ask(1)
        await settle()
        bench.workers["blue"].fail(error)
        with pytest.raises(type(error)):
            await task
        await settle()
        bench.shadow.answer()
        await settle()

        assert bench.mirror.comparers["blue", "next"].state.only_primary_failed == 1

    check()


@on_virtual_time
async def test_rows_that_the_shadow_cannot_take_are_its_failure() -> None:
    bench = Bench()
    bench.prepare.error = InvalidInput("column")
    await bench.answered(1)

    assert bench.counts == (1, {}, {"InvalidInput": 1})


@on_virtual_time
async def test_what_must_be_read_for_a_shadow_is_read_without_the_primary() -> None:
    bench = Bench()
    bench.prepare.reading = bench.loop.create_future()
    answer = await bench.answered(1)
    assert (numbers(answer.rows), bench.shadow.seen, bench.mirror.rows) == ([1001], [], 1)
    bench.prepare.reading.set_result(rows_of(7))
    await settle()

    assert bench.shadow.seen == [[7]]


@on_virtual_time
async def test_failures_are_logged_with_their_mark_once_a_second() -> None:
    bench = Bench()
    with capture_logs() as logs:
        for _ in range(3):
            await bench.answered(1)
            bench.shadow.fail(ModelFailed("values of 17 are secret"))
            await settle()
        bench.loop.advance(1.0)
        await bench.answered(1)
        bench.shadow.fail(ModelFailed("values of 17 are secret"))
        await settle()
    first: dict[str, Any] = {
        "event": "mirror.failed",
        "endpoint": "e",
        "deployment": "next",
        "mirrored": True,
        "error": "ModelFailed",
        "request_id": "r1",
        "log_level": "warning",
    }

    assert logs == [first, {**first, "not_logged": 2}]


@on_virtual_time
async def test_closing_gives_up_what_waits_and_what_is_being_read_and_takes_nothing_more() -> None:
    bench = Bench()
    await bench.answered(1)
    await bench.answered(2)
    bench.prepare.reading = bench.loop.create_future()
    await bench.answered(3)
    await bench.mirror.close()
    await settle()
    await bench.answered(4)

    assert bench.mirror.rows == 0
    assert bench.prepare.reading.cancelled()
    assert (bench.shadow.seen, bench.lines["next"].rows_waiting) == ([[1]], 0)


@on_virtual_time
async def test_inputs_are_kept_only_where_that_is_allowed() -> None:
    kept = []
    for allowed in (False, True):
        bench = Bench(keep_inputs=allowed)
        await bench.answered(1)
        bench.shadow.answer_with(rows_of(5))
        await settle()
        kept.append(bench.mirror.comparers["blue", "next"].state.worst[0].inputs)

    assert kept == [None, {"x": 1}]
