"""A mirror never delays, fails or changes an answer, whatever its shadow does; and it counts what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import cycle
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from gateway.core.access import Principal
from gateway.core.deadline import Deadline
from gateway.core.errors import GatewayError, InvalidInput, ModelFailed, WorkerFailed
from gateway.core.request import Answer, Deployment, Enriched
from gateway.core.rows import Rows
from gateway.core.scoring import WorkerLost
from gateway.core.signature import Signature
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.stage import Dispatch
from gateway.routing.compare import Comparison
from gateway.routing.comparisons import Judging
from gateway.routing.mirror import Mirror, MirrorSettings
from gateway.routing.mirrored import Mirrored
from gateway.routing.tally import Tolerance
from tests.support.held_scorer import LAYOUT, OTHER_LAYOUT, HeldScorer, numbers, rows_of
from tests.support.requests import received
from tests.support.virtual_loop import VirtualLoop, on_virtual_time, settle

SIGNATURE = Signature(inputs=LAYOUT.columns, outputs=LAYOUT.columns)


def deployment(name: str, *, is_idempotent: bool = True, model: str = "") -> Deployment:
    return Deployment(endpoint="e", name=name, signature=SIGNATURE, is_idempotent=is_idempotent, model=model)


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
        linger: float = 0.0,
        first_replays: int = 0,
    ) -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.workers = {"blue": HeldScorer(), "next": HeldScorer()}
        self.lines = {
            name: Batcher(
                f"e/{name}",
                BatchConfig(max_queue_rows=64),
                scorer,
                is_idempotent=is_idempotent,
                clock=self.loop.time,
            )
            for name, scorer in self.workers.items()
        }
        self.primary = deployment("blue", is_idempotent=is_idempotent)
        self.loaded: dict[str, Deployment] = {"blue": self.primary, "next": deployment("next")}
        self.prepare = SameRows()
        self.settings = MirrorSettings(
            shadows={"next": 100} if shadows is None else shadows,
            models={"blue": "", "next": "", "other": ""},
            max_rows=max_rows,
            replay_percent=replay,
            judging=Judging(tolerance=Tolerance(0.0, 0.0), worst_rows=3, keep_inputs=keep_inputs),
            prepare=self.prepare,
        )
        self.mirror = Mirror(
            "e",
            self.settings,
            deployment_of=lambda _, name: self.loaded.get(name),
            line_of=lambda deployment: self.lines[deployment.name],
            draw=(draws or cycle([0.5])).__next__,
            clock=self.loop.time,
            linger=linger,
            first_replays=first_replays,
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

    def compared(self, primary: str = "blue", shadow: str = "next") -> Comparison:
        """There is one."""
        return next(one for one in self.mirror.states if (one.primary, one.shadow) == (primary, shadow))

    def change(self, replaced: Mapping[str, str] | None = None, **settings: Any) -> None:
        """Another configuration is installed; ``replaced``: deployment → its new model."""
        models = {**self.settings.models, **(replaced or {})}
        for name, model in (replaced or {}).items():
            self.loaded[name] = deployment(name, model=model)
        self.settings = replace(self.settings, models=models, **settings)
        self.mirror.install(self.settings)

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
    state = bench.compared()

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
    assert bench.compared().requests == 4


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
    assert bench.compared().only_shadow_failed == 1


GARBAGE = {"too few": rows_of(1), "another column": rows_of(1, 2, layout=OTHER_LAYOUT)}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_from_a_shadow_is_a_finding_and_nothing_else(kind: str) -> None:
    @on_virtual_time
    async def check() -> None:
        bench = Bench()
        answer = await bench.answered(1, 2)
        bench.shadow.answer_with(GARBAGE[kind])
        await settle()
        compared = bench.compared()

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
    del bench.loaded["next"]
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
    noise = bench.compared(shadow="blue")

    assert bench.workers["blue"].seen == [[1], [1]]
    assert (noise.rows, noise.agreeing) == (1, 0)


@on_virtual_time
async def test_a_deployment_that_is_not_idempotent_is_never_asked_twice() -> None:
    bench = Bench(replay=100, is_idempotent=False)
    await bench.answered(1)

    assert bench.workers["blue"].seen == [[1]]


@on_virtual_time
async def test_a_replay_is_not_tried_again_either_when_the_primarys_worker_dies_with_it() -> None:
    bench = Bench(replay=100)
    await bench.answered(1)
    bench.workers["blue"].fail(WorkerLost("gone", "w1"))
    await settle()

    assert bench.workers["blue"].seen == [[1], [1]]
    assert bench.compared(shadow="blue").only_shadow_failed == 1


@pytest.mark.parametrize("error", [ModelFailed("boom"), WorkerFailed("gone")])
def test_a_request_that_the_primary_fails_is_tried_on_the_shadow(error: GatewayError) -> None:
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

        assert bench.compared().only_primary_failed == 1

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
        kept.append(bench.compared().worst[0].inputs)

    assert kept == [None, {"x": 1}]


async def compare(bench: Bench, value: int = 1) -> None:
    """One request is answered by both."""
    await bench.answered(value)
    bench.shadow.answer()
    await settle()


@on_virtual_time
async def test_what_was_counted_and_compared_stays_when_percent_budget_and_replays_change() -> None:
    bench = Bench()
    await compare(bench)
    bench.change(shadows={"next": 60}, max_rows=1, replay_percent=2)
    await compare(bench)
    counts = bench.mirror.counts[0]

    assert (counts.percent, counts.mirrored) == (60, 2)
    assert bench.compared().requests == 2


@on_virtual_time
async def test_a_shadow_that_is_sent_nothing_any_more_keeps_what_was_found_and_goes_on_with_it() -> None:
    bench = Bench()
    await compare(bench)
    bench.change(shadows={})
    await bench.answered(2)
    paused = bench.mirror.counts[0]
    percent = paused.percent
    bench.change(shadows={"next": 100})
    await compare(bench, 3)

    assert (percent, paused.percent, paused.mirrored) == (0, 100, 2)
    assert bench.compared().requests == 2


@pytest.mark.parametrize("name", ["blue", "next"])
def test_a_comparison_begins_anew_when_the_model_of_either_side_is_another(name: str) -> None:
    @on_virtual_time
    async def check() -> None:
        bench = Bench()
        await compare(bench)
        bench.change({name: "other"})
        gone = bench.mirror.states
        bench.primary = bench.loaded["blue"]
        await compare(bench)

        assert gone == []
        assert bench.compared().requests == 1
        assert bench.mirror.counts[0].mirrored == (1 if name == "next" else 2)

    check()


@on_virtual_time
async def test_another_tolerance_begins_the_comparison_anew_and_leaves_the_counts() -> None:
    bench = Bench()
    await compare(bench)
    bench.change(judging=replace(bench.settings.judging, tolerance=Tolerance(1.0, 0.0)))

    assert bench.mirror.states == []
    assert bench.mirror.counts[0].mirrored == 1


@on_virtual_time
async def test_inputs_that_may_not_be_kept_any_more_are_forgotten() -> None:
    bench = Bench(keep_inputs=True)
    for value in (1, 2):
        await bench.answered(value)
        bench.shadow.answer_with(rows_of(5))
        await settle()
    before = bench.compared().worst[0].inputs
    bench.change(judging=replace(bench.settings.judging, keep_inputs=False, worst_rows=1))

    assert before is not None
    assert [row.inputs for row in bench.compared().worst] == [None]


@on_virtual_time
async def test_what_is_with_a_shadow_that_is_replaced_is_given_up_and_counts_nowhere() -> None:
    bench = Bench()
    await bench.answered(1)
    await bench.answered(2)
    bench.change({"next": "other"})
    await settle()
    bench.shadow.answer()
    await settle()

    assert (bench.mirror.rows, bench.lines["next"].rows_waiting) == (0, 0)
    assert bench.mirror.states == []
    assert bench.counts == (0, {}, {})


@on_virtual_time
async def test_an_answer_of_a_primary_that_was_replaced_is_compared_with_nobodys() -> None:
    bench = Bench()
    await bench.answered(1)
    bench.change({"blue": "other"})
    bench.shadow.answer()
    await settle()

    assert bench.mirror.states == []
    assert bench.mirror.rows == 0


@on_virtual_time
async def test_a_request_whose_primary_was_replaced_while_it_was_answered_is_not_mirrored() -> None:
    bench = Bench()
    task = bench.ask(1)
    await settle()
    bench.change({"blue": "other"})
    bench.workers["blue"].answer()
    answer = await task
    await settle()

    assert numbers(answer.rows) == [1001]
    assert bench.counts == (0, {"reloaded": 1}, {})


@on_virtual_time
async def test_what_is_being_read_for_a_shadow_is_given_up_with_the_configuration_that_it_is_read_by() -> None:
    bench = Bench()
    reading = bench.prepare.reading = bench.loop.create_future()
    await bench.answered(1)
    bench.change(shadows={"next": 50})
    await settle()

    assert reading.cancelled()
    assert (bench.mirror.rows, bench.mirror.has_ended) == (0, True)


@on_virtual_time
async def test_a_change_of_the_percent_leaves_what_is_with_the_shadow_there() -> None:
    bench = Bench()
    await bench.answered(1)
    bench.change(shadows={"next": 50})
    bench.shadow.answer()
    await settle()

    assert bench.compared().requests == 1


@on_virtual_time
async def test_an_answered_request_waits_a_moment_for_company_and_goes_with_it() -> None:
    bench = Bench(linger=0.05, max_rows=64)
    await bench.answered(1)
    await bench.answered(2)
    alone = list(bench.shadow.seen)
    await asyncio.sleep(0.05)
    await settle()

    assert alone == []
    assert bench.shadow.seen == [[1, 2]]


@on_virtual_time
async def test_sixteen_are_company_enough() -> None:
    bench = Bench(linger=0.05, max_rows=64)
    for value in range(15):
        await bench.answered(value)
    waiting = list(bench.shadow.seen)
    started = bench.loop.now
    await bench.answered(15)

    assert (waiting, bench.loop.now) == ([], started)
    assert bench.shadow.seen == [list(range(16))]


@on_virtual_time
async def test_who_still_waits_for_company_when_the_mirror_closes_goes_nowhere() -> None:
    bench = Bench(linger=0.05, max_rows=64)
    await bench.answered(1)
    await bench.mirror.close()
    await asyncio.sleep(1)

    assert (bench.shadow.seen, bench.mirror.rows) == ([], 0)


@pytest.mark.parametrize("change", [{"shadows": {}}, {"replaced": {"next": "other"}}, {"replaced": {"blue": "other"}}])
def test_who_waits_for_company_when_its_shadow_or_its_primary_goes_is_dropped(change: dict[str, Any]) -> None:
    @on_virtual_time
    async def check() -> None:
        bench = Bench(linger=0.05, max_rows=64)
        await bench.answered(1)
        counts = bench.mirror.counts[0]
        bench.change(**change)
        await asyncio.sleep(0.05)
        await settle()

        assert bench.shadow.seen == []
        assert counts.dropped == {"reloaded": 1}

    check()


@on_virtual_time
async def test_a_quarter_of_the_bound_is_company_enough() -> None:
    bench = Bench(linger=0.05, max_rows=12)
    await bench.answered(1, 2)
    waiting = list(bench.shadow.seen)
    await bench.answered(3)

    assert waiting == []
    assert bench.shadow.seen == [[1, 2, 3]]


@on_virtual_time
async def test_replays_in_the_primarys_line_are_no_reason_to_drop_those_who_came_along() -> None:
    bench = Bench(linger=0.05, max_rows=64, replay=100)
    for value in range(3):
        await bench.answered(value)
    await asyncio.sleep(0.05)
    await settle()

    assert bench.counts == (3, {}, {})
    assert bench.shadow.seen == [[0, 1, 2]]


async def leave(bench: Bench, *values: int) -> float:
    """These are answered, leave for the shadow and come back from it; how long they waited to leave."""
    for value in values:
        await bench.answered(value)
    answered = bench.loop.now
    while bench.shadow.seen[-1:] != [list(values)]:
        await asyncio.sleep(0.01)
        await settle()
    bench.shadow.answer()
    await settle()
    return bench.loop.now - answered


@on_virtual_time
async def test_every_fourth_time_one_goes_alone_and_at_once() -> None:
    bench = Bench(linger=0.05, max_rows=64)
    waited = [await leave(bench, value) for value in range(8)]

    assert [wait == 0 for wait in waited] == [False, False, False, True] * 2


@on_virtual_time
async def test_only_those_that_go_alone_tell_how_long_a_shadow_takes() -> None:
    bench = Bench(linger=0.05, max_rows=64)
    for values in ((1, 2), (3, 4), (5, 6), (7,)):
        await leave(bench, *values)
    found = bench.compared()

    assert (found.requests, found.slower_s.count, found.primary_s.count) == (7, 1, 1)
