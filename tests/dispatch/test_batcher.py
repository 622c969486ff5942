"""The batcher on a loop whose time passes only when nothing else is left to do, with workers that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from gateway.core.deadline import Deadline
from gateway.core.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidInput,
    ModelFailed,
    NotReady,
    Overloaded,
    WorkerFailed,
)
from gateway.core.rows import Rows
from gateway.core.scoring import Outcome, WorkerLost
from gateway.core.timeline import Timeline
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.ticket import Ticket
from tests.support.held_scorer import LAYOUT, OTHER_LAYOUT, HeldScorer, numbers, rows_of
from tests.support.virtual_loop import VirtualLoop, on_virtual_time, settle


class Bench:
    """A batcher, its scorer and its clock."""

    def __init__(
        self, places: int = 1, *, is_idempotent: bool = True, kind: type[HeldScorer] = HeldScorer, **config: float
    ) -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.scorer = kind(places)
        self.batcher = Batcher(
            "e/d",
            BatchConfig(**config),  # type: ignore[arg-type]
            self.scorer,
            is_idempotent=is_idempotent,
            clock=self.loop.time,
        )

    def ask(self, *values: int, seconds: float = 5.0) -> Ticket:
        ticket = self.batcher.accept(rows_of(*values), self.loop.now + seconds)
        ticket.reply.add_done_callback(lambda reply: reply.cancelled() or reply.exception())  # not all are awaited
        return ticket

    async def fill(self) -> None:
        """Take the only place, so that rows gather."""
        self.ask(0, seconds=60)
        await settle()


async def outcome(ticket: Ticket) -> list[int] | type[BaseException]:
    try:
        return numbers(await ticket.reply)
    except GatewayError as error:
        return type(error)


# --- what leaves when ----------------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_row_goes_to_an_idle_worker_without_any_time_passing() -> None:
    bench = Bench()
    before = bench.loop.now
    bench.ask(1)
    await settle()

    assert (bench.scorer.seen, bench.loop.now) == ([[1]], before)


@on_virtual_time
async def test_rows_of_one_turn_of_the_loop_leave_together() -> None:
    bench = Bench(places=2)
    for value in (1, 2, 3):
        bench.ask(value)
    await settle()

    assert bench.scorer.seen == [[1, 2, 3]]


@on_virtual_time
async def test_under_load_rows_that_are_handed_over_one_a_turn_leave_together() -> None:
    bench = Bench(places=2)
    await bench.fill()  # one place is taken, one is free
    before = bench.loop.now
    for value in (1, 2, 3):
        bench.ask(value)
        await asyncio.sleep(0)
    await settle()

    assert (bench.scorer.seen[1:], bench.loop.now) == ([[1, 2, 3]], before)


@on_virtual_time
async def test_a_batch_that_is_full_does_not_wait_for_more() -> None:
    bench = Bench(places=2, max_rows=2)
    await bench.fill()
    bench.ask(1)
    bench.ask(2)
    await asyncio.sleep(0)  # the turn in which the batch is sent
    await asyncio.sleep(0)

    assert bench.scorer.seen[1:] == [[1, 2]]


@on_virtual_time
async def test_rows_gather_while_all_places_are_taken_and_leave_when_one_is_free() -> None:
    bench = Bench()
    await bench.fill()
    for value in (1, 2, 3):
        bench.ask(value)
        await settle()
    gathered = list(bench.scorer.seen)
    bench.scorer.answer()
    await settle()

    assert (gathered, bench.scorer.seen) == ([[0]], [[0], [1, 2, 3]])


@on_virtual_time
async def test_more_rows_than_a_batch_takes_fill_all_places() -> None:
    bench = Bench(places=2, max_rows=2)
    for value in range(6):
        bench.ask(value)
    await settle()

    assert bench.scorer.seen == [[0, 1], [2, 3]]


@on_virtual_time
async def test_a_worker_that_comes_later_gets_what_waits() -> None:
    bench = Bench(places=0)
    bench.ask(1)
    await settle()
    bench.scorer.change(places=1)
    await settle()

    assert bench.scorer.seen == [[1]]


@on_virtual_time
async def test_rows_of_two_layouts_never_share_a_batch() -> None:
    bench = Bench(places=2)
    bench.ask(1)
    bench.batcher.accept(rows_of(2, layout=OTHER_LAYOUT), bench.loop.now + 5)
    await settle()

    assert sorted(bench.scorer.seen) == [[1], [2]]


@on_virtual_time
async def test_a_batch_may_take_as_long_as_its_most_patient_caller() -> None:
    bench = Bench()
    bench.ask(1, seconds=2)
    bench.ask(2, seconds=7)
    bench.ask(3, seconds=3)
    await settle()

    assert bench.scorer.held[0].deadline == bench.loop.now + 7


@on_virtual_time
async def test_a_request_without_rows_is_answered() -> None:
    bench = Bench()
    ticket = bench.ask()
    await settle()
    bench.scorer.answer()

    assert await outcome(ticket) == []


# --- everybody gets his own ----------------------------------------------------------------------------------------


@on_virtual_time
async def test_each_caller_gets_the_answers_to_his_own_rows() -> None:
    bench = Bench()
    tickets = [bench.ask(1), bench.ask(2, 3), bench.ask(4)]
    await settle()
    bench.scorer.answer()

    assert [await outcome(ticket) for ticket in tickets] == [[1001], [1002, 1003], [1004]]


@on_virtual_time
async def test_one_caller_leaving_does_not_touch_its_batch_mates() -> None:
    bench = Bench()
    a, b, c = [bench.ask(value) for value in (1, 2, 3)]
    await settle()
    bench.batcher.withdraw(b)
    bench.scorer.answer()

    assert [await outcome(a), b.reply.cancelled(), await outcome(c)] == [[1001], True, [1003]]


@on_virtual_time
async def test_a_caller_who_leaves_the_line_frees_his_place() -> None:
    bench = Bench()
    await bench.fill()
    bench.ask(1)
    leaver = bench.ask(2)
    bench.ask(3)
    bench.batcher.withdraw(leaver)
    waiting = bench.batcher.rows_waiting
    bench.scorer.answer()
    await settle()

    assert (waiting, bench.scorer.seen) == (2, [[0], [1, 3]])


@on_virtual_time
async def test_the_rows_of_a_caller_who_is_just_leaving_are_not_computed() -> None:
    bench = Bench()
    leaver = bench.ask(1)
    bench.ask(2)
    leaver.reply.cancel()  # its task was cancelled, and withdraws the ticket when it is its turn
    await settle()

    assert bench.scorer.seen == [[2]]


@on_virtual_time
async def test_an_answer_of_too_few_rows_fails_its_batch_instead_of_shifting_answers() -> None:
    bench = Bench()
    tickets = [bench.ask(1), bench.ask(2)]
    await settle()
    bench.scorer.answer_with(rows_of(1001))

    assert [await outcome(ticket) for ticket in tickets] == [WorkerFailed, WorkerFailed]


@pytest.mark.parametrize("answer", [(), (1001, 1002)])
def test_a_lone_caller_is_not_given_an_answer_of_another_number_of_rows(answer: tuple[int, ...]) -> None:
    @on_virtual_time
    async def scenario() -> list[int] | type[BaseException]:
        bench = Bench()
        ticket = bench.ask(1)
        await settle()
        bench.scorer.answer_with(rows_of(*answer))
        return await outcome(ticket)

    assert scenario() is WorkerFailed


# --- deadlines -----------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_caller_hears_at_its_deadline_even_while_its_batch_runs() -> None:
    bench = Bench()
    started = bench.loop.now
    ticket = bench.ask(1, seconds=2)
    await settle()
    result = await outcome(ticket)

    assert result is DeadlineExceeded
    assert bench.loop.now - started == pytest.approx(2, abs=0.003)


@on_virtual_time
async def test_an_earlier_deadline_that_comes_later_is_kept_too() -> None:
    bench = Bench()
    started = bench.loop.now
    bench.ask(1, seconds=60)
    ticket = bench.ask(2, seconds=1)
    result = await outcome(ticket)

    assert result is DeadlineExceeded
    assert bench.loop.now - started == pytest.approx(1, abs=0.003)


@on_virtual_time
async def test_expired_rows_never_reach_a_worker() -> None:
    bench = Bench()
    await bench.fill()
    bench.ask(1, seconds=1)
    patient = bench.ask(2, seconds=50)
    bench.loop.advance(2)
    bench.scorer.answer()
    await settle()
    bench.scorer.answer()

    assert (await outcome(patient), bench.scorer.seen) == ([1002], [[0], [2]])


@on_virtual_time
async def test_a_full_batch_goes_ahead_to_a_worker_that_computes_and_a_smaller_one_waits() -> None:
    bench = Bench(max_rows=2)
    await bench.fill()
    bench.scorer.spare = 1
    bench.ask(1)
    await settle()
    alone = list(bench.scorer.seen)
    bench.ask(2)
    await settle()

    assert (alone, bench.scorer.seen) == ([[0]], [[0], [1, 2]])


@on_virtual_time
async def test_a_row_that_would_expire_at_the_worker_gives_way_to_those_behind_it() -> None:
    bench = Bench(max_rows=1)
    await bench.fill()
    hopeless, patient = bench.ask(1, seconds=15), bench.ask(2, seconds=50)
    bench.loop.advance(10)
    bench.scorer.answer()  # a batch takes ten seconds, and one has five left
    await settle()

    assert bench.scorer.seen == [[0], [2]]
    assert (await outcome(hopeless), patient.is_done) == (DeadlineExceeded, False)


@on_virtual_time
async def test_with_nobody_behind_it_even_a_row_with_little_time_is_tried() -> None:
    bench = Bench(max_rows=1)
    await bench.fill()
    bench.ask(1, seconds=15)
    bench.loop.advance(10)
    bench.scorer.answer()
    await settle()

    assert bench.scorer.seen == [[0], [1]]


@on_virtual_time
async def test_a_late_reply_is_dropped() -> None:
    bench = Bench()
    ticket = bench.ask(1, seconds=1)
    result = await outcome(ticket)
    bench.scorer.answer()
    await settle()

    assert (result, bench.batcher.stats().success_count, bench.batcher.stats().fail_count) == (DeadlineExceeded, 0, 1)


@on_virtual_time
async def test_a_request_that_comes_too_late_is_refused_at_once() -> None:
    bench = Bench()
    with pytest.raises(DeadlineExceeded):
        bench.ask(1, seconds=0)

    assert bench.batcher.rows_waiting == 0


# --- failures ------------------------------------------------------------------------------------------------------


async def let_the_model_refuse(bench: Bench, *guilty: int, error: GatewayError) -> int:
    """Fail every batch with a guilty row and answer the others; how many rounds that took."""
    rounds = 0
    await settle()
    while bench.scorer.held:
        rounds += 1
        for batch in list(bench.scorer.held):
            if set(batch.values) & set(guilty):
                bench.scorer.fail(error, batch)
            else:
                bench.scorer.answer(batch)
        await settle()
    return rounds


@pytest.mark.parametrize("error", [ModelFailed("non-numeric"), InvalidInput("does not fit")])
def test_only_the_guilty_request_of_a_failing_batch_fails(error: GatewayError) -> None:
    @on_virtual_time
    async def scenario() -> list[list[int] | type[BaseException]]:
        bench = Bench(places=8)
        tickets = [bench.ask(value) for value in range(8)]
        await let_the_model_refuse(bench, 5, error=error)
        return [await outcome(ticket) for ticket in tickets]

    expected: list[list[int] | type[BaseException]] = [[value + 1000] for value in range(8)]
    expected[5] = type(error)

    assert scenario() == expected


@on_virtual_time
async def test_a_batch_is_bisected_in_as_many_rounds_as_its_logarithm() -> None:
    bench = Bench(places=32)
    for value in range(32):
        bench.ask(value)
    rounds = await let_the_model_refuse(bench, *range(32), error=ModelFailed("all bad"))

    assert (rounds, len(bench.scorer.seen)) == (6, 63)


@on_virtual_time
async def test_bisecting_waits_for_places_like_everything_else() -> None:
    bench = Bench(places=1)
    tickets = [bench.ask(value) for value in range(4)]
    await let_the_model_refuse(bench, 0, error=ModelFailed("bad"))

    assert [await outcome(ticket) for ticket in tickets] == [ModelFailed, [1001], [1002], [1003]]


@on_virtual_time
async def test_who_left_meanwhile_is_not_scored_again() -> None:
    bench = Bench(places=2)
    a, b, c = [bench.ask(value) for value in (1, 2, 3)]
    await settle()
    bench.batcher.withdraw(b)
    await let_the_model_refuse(bench, 2, error=ModelFailed("bad"))

    assert (await outcome(a), await outcome(c), bench.scorer.seen) == ([1001], [1003], [[1, 2, 3], [1], [3]])


@on_virtual_time
async def test_a_lost_batch_is_tried_once_more_on_another_worker() -> None:
    bench = Bench()
    ticket = bench.ask(1)
    await settle()
    bench.scorer.fail(WorkerLost("gone", "w1"))
    await settle()
    avoided = bench.scorer.held[0].avoid
    bench.scorer.answer()

    assert (avoided, await outcome(ticket)) == ("w1", [1001])


@on_virtual_time
async def test_a_place_that_a_batch_avoids_is_for_those_behind_it() -> None:
    class Avoided(HeldScorer):
        """Of its workers only one has a place; whoever avoids that goes to another on top of what it has."""

        def send(self, rows: Rows, deadline: Deadline, on_end: Callable[[Outcome], None], avoid: str = "") -> None:
            super().send(rows, deadline, on_end, avoid)
            self.places += bool(avoid)

    bench = Bench(kind=Avoided)
    bench.ask(1)
    await settle()
    bench.ask(2)
    bench.scorer.fail(WorkerLost("gone", "w1"))
    await settle()

    assert bench.scorer.seen == [[1], [1], [2]]


@on_virtual_time
async def test_a_batch_that_is_lost_twice_fails() -> None:
    bench = Bench()
    ticket = bench.ask(1)
    for worker in ("w1", "w2"):
        await settle()
        bench.scorer.fail(WorkerLost("gone", worker))

    assert (await outcome(ticket), len(bench.scorer.seen)) == (WorkerFailed, 2)


@on_virtual_time
async def test_a_request_that_kills_its_worker_does_not_take_its_batch_mates_with_it_again() -> None:
    bench = Bench()
    tickets = [bench.ask(value) for value in (1, 2, 3)]
    await settle()
    bench.scorer.fail(WorkerLost("gone", "w1"))
    for _ in tickets:
        await settle()
        batch = bench.scorer.held[0]
        if batch.values == [2]:
            bench.scorer.fail(WorkerLost("gone", "w2"))
        else:
            bench.scorer.answer()

    assert [await outcome(ticket) for ticket in tickets] == [[1001], WorkerFailed, [1003]]


@on_virtual_time
async def test_a_lost_batch_is_not_scored_again_where_that_would_do_harm() -> None:
    bench = Bench(is_idempotent=False)
    ticket = bench.ask(1)
    await settle()
    bench.scorer.fail(WorkerLost("gone", "w1"))

    assert (await outcome(ticket), len(bench.scorer.seen)) == (WorkerFailed, 1)


@on_virtual_time
async def test_a_lost_batch_whose_time_is_over_is_not_tried_again() -> None:
    bench = Bench()
    ticket = bench.ask(1, seconds=1)
    await settle()
    bench.loop.advance(2)
    bench.scorer.fail(WorkerLost("gone", "w1"))

    assert (await outcome(ticket), len(bench.scorer.seen)) == (DeadlineExceeded, 1)


@on_virtual_time
async def test_a_lost_batch_waits_for_the_worker_to_come_back() -> None:
    bench = Bench()
    ticket = bench.ask(1)
    await settle()
    bench.scorer.places = -1  # the lost worker takes its place with it
    bench.scorer.fail(WorkerLost("gone", "w1"))
    await settle()
    sent = len(bench.scorer.seen)
    bench.scorer.change(places=1)
    await settle()
    bench.scorer.answer()

    assert (sent, await outcome(ticket)) == (1, [1001])


@on_virtual_time
async def test_who_waits_for_workers_that_are_all_gone_hears_it_at_once() -> None:
    bench = Bench()
    await bench.fill()
    ticket = bench.ask(1)
    before = bench.loop.now
    bench.scorer.change(is_ready=False)

    assert (await outcome(ticket), bench.loop.now) == (NotReady, before)


@on_virtual_time
async def test_a_request_is_refused_while_no_worker_can_serve() -> None:
    bench = Bench()
    bench.scorer.change(places=0, is_ready=False)
    with pytest.raises(NotReady):
        bench.ask(1)


@on_virtual_time
async def test_a_bug_in_the_scorer_fails_the_batch_and_nothing_else() -> None:
    bench = Bench()
    bench.scorer.refusal = ZeroDivisionError("a bug")
    result = await outcome(bench.ask(1))
    bench.scorer.refusal = None
    after = bench.ask(2)
    await settle()
    bench.scorer.answer()

    assert (result, await outcome(after)) == (WorkerFailed, [1002])


@on_virtual_time
async def test_a_batch_that_cannot_leave_fails_at_once() -> None:
    bench = Bench()
    bench.scorer.refusal = NotReady("just gone")
    ticket = bench.ask(1)
    before = bench.loop.now

    assert (await outcome(ticket), bench.loop.now, bench.batcher.rows_in_flight) == (NotReady, before, 0)


@on_virtual_time
async def test_an_answer_that_cannot_be_cut_fails_its_batch_and_nothing_else() -> None:
    bench = Bench()
    tickets = [bench.ask(1), bench.ask(2)]
    await settle()
    bench.scorer.answer_with(Rows(LAYOUT, 2, bytes(15)))
    results = [await outcome(ticket) for ticket in tickets]
    after = bench.ask(3)
    await settle()
    bench.scorer.answer()

    assert (results, await outcome(after)) == ([WorkerFailed, WorkerFailed], [1003])


@on_virtual_time
async def test_only_the_first_end_of_a_batch_counts() -> None:
    bench = Bench()
    ticket = bench.ask(1)
    await settle()
    batch = bench.scorer.held[0]
    bench.scorer.answer()
    batch.on_end(WorkerLost("gone", "w1"))
    await settle()

    assert (await outcome(ticket), bench.batcher.rows_in_flight, bench.scorer.seen) == ([1001], 0, [[1]])


@on_virtual_time
async def test_everybody_is_answered_in_the_turn_in_which_the_answer_comes() -> None:
    bench = Bench()
    tickets = [bench.ask(1), bench.ask(2)]
    await settle()
    bench.scorer.answer()

    assert [ticket.is_answered for ticket in tickets] == [True, True]


@on_virtual_time
async def test_requests_without_rows_fill_the_line_too() -> None:
    bench = Bench(max_rows=2, max_queue_rows=2)
    await bench.fill()
    bench.ask()
    bench.ask()
    with pytest.raises(Overloaded):
        bench.ask()


# --- large requests ------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_large_request_is_split_over_all_places_and_joined_in_order() -> None:
    bench = Bench(places=3, max_rows=4)
    ticket = bench.ask(*range(10))
    await settle()
    sizes = [len(values) for values in bench.scorer.seen]
    for batch in reversed(list(bench.scorer.held)):
        bench.scorer.answer(batch)
        await settle()

    assert (sizes, await outcome(ticket)) == ([4, 4, 2], [value + 1000 for value in range(10)])


@on_virtual_time
async def test_when_one_part_fails_the_rest_leaves_the_line() -> None:
    bench = Bench(places=1, max_rows=2)
    ticket = bench.ask(*range(8))
    await settle()
    bench.scorer.fail(ModelFailed("bad"))
    result = await outcome(ticket)
    await settle()

    assert (result, bench.batcher.rows_waiting) == (ModelFailed, 0)


@on_virtual_time
async def test_parts_that_end_in_one_turn_well_and_badly_fail_the_request() -> None:
    bench = Bench(places=2, max_rows=2)
    ticket = bench.ask(*range(4))
    await settle()
    good, bad = list(bench.scorer.held)
    bench.scorer.answer(good)
    bench.scorer.fail(ModelFailed("bad"), bad)

    assert await outcome(ticket) is ModelFailed


@on_virtual_time
async def test_a_large_request_that_is_withdrawn_leaves_with_all_its_parts() -> None:
    bench = Bench(places=1, max_rows=2)
    ticket = bench.ask(*range(8))
    await settle()
    bench.batcher.withdraw(ticket)
    bench.scorer.answer()
    await settle()

    assert (bench.batcher.rows_waiting, len(bench.scorer.seen), ticket.reply.cancelled()) == (0, 1, True)


@on_virtual_time
async def test_a_large_request_expires_as_a_whole() -> None:
    bench = Bench(places=1, max_rows=2)
    ticket = bench.ask(*range(8), seconds=1)
    result = await outcome(ticket)
    await settle()

    assert (result, bench.batcher.rows_waiting, bench.batcher.stats().fail_count) == (DeadlineExceeded, 0, 1)


@on_virtual_time
async def test_a_large_request_counts_as_one_request_and_all_its_rows() -> None:
    bench = Bench(places=4, max_rows=4)
    ticket = bench.ask(*range(8))
    await settle()
    for batch in list(bench.scorer.held):
        bench.scorer.answer(batch)
    await outcome(ticket)
    stats = bench.batcher.stats()

    assert (stats.success_count, stats.inference_count, stats.execution_count) == (1, 8, 2)


# --- who is let in -------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_full_line_refuses() -> None:
    bench = Bench(max_rows=2, max_queue_rows=2)
    await bench.fill()
    bench.ask(1)
    bench.ask(2)
    with pytest.raises(Overloaded) as caught:
        bench.ask(3)

    assert caught.value.retry_after > 0


@on_virtual_time
async def test_a_request_larger_than_the_line_is_let_in_when_nobody_waits() -> None:
    bench = Bench(max_rows=2, max_queue_rows=2)
    ticket = bench.ask(*range(6))
    for _ in range(3):
        await settle()
        bench.scorer.answer()

    assert len(cast("list[int]", await outcome(ticket))) == 6


@on_virtual_time
async def test_who_would_wait_longer_than_he_has_time_is_refused_with_the_time_to_come_back() -> None:
    bench = Bench(max_rows=10)
    for value in range(200):
        bench.ask(value, seconds=1000)
    for _ in range(15):  # ten rows a second
        await settle()
        bench.loop.advance(1)
        bench.scorer.answer()
    await settle()
    patient = bench.ask(1, seconds=20)  # 50 rows are ahead
    with pytest.raises(Overloaded) as caught:
        bench.ask(2, seconds=3)

    assert not patient.is_done
    assert 2 < caught.value.retry_after < 10


@on_virtual_time
async def test_who_comes_right_behind_another_and_has_too_little_time_for_both_is_refused() -> None:
    bench = Bench(max_rows=1)
    for value in range(5):
        bench.ask(value, seconds=1000)
    await answer_five(bench)
    bench.ask(8, seconds=1)
    with pytest.raises(Overloaded):
        bench.ask(9, seconds=1)


async def learn(bench: Bench) -> None:
    """That a row takes ten seconds; nobody waits afterwards."""
    await bench.fill()
    for value in range(4):
        bench.ask(value, seconds=5000)
    await answer_five(bench)


async def answer_five(bench: Bench) -> None:
    """Batches, one in ten seconds."""
    for _ in range(5):
        await settle()
        bench.loop.advance(10)
        bench.scorer.answer()
    await settle()


@on_virtual_time
async def test_who_is_let_in_without_a_close_look_is_looked_at_again_when_more_rows_have_left() -> None:
    bench = Bench(max_rows=1, max_queue_rows=4)
    await learn(bench)
    bench.scorer.change(places=0)
    bench.ask(1, seconds=5000)
    bench.ask(2, seconds=5000)  # with nothing in flight, 75 seconds are enough for any line
    bench.scorer.change(places=5)
    for value in (3, 4, 5):
        await settle()
        bench.ask(value, seconds=5000)
    await settle()
    for value in (6, 7, 8):
        bench.ask(value, seconds=5000)
    with pytest.raises(Overloaded):
        bench.ask(9, seconds=100)  # eight rows are ahead


@on_virtual_time
async def test_who_is_let_in_without_a_close_look_is_looked_at_again_when_answers_were_slow() -> None:
    bench = Bench(max_rows=1, max_queue_rows=4)
    await learn(bench)
    bench.scorer.change(places=2)
    for value in (1, 2):
        bench.ask(value, seconds=5000)
        await settle()
    bench.ask(3, seconds=5000)
    bench.ask(4, seconds=5000)  # a hundred seconds are enough for any line
    for seconds in (1, 1000):
        bench.loop.advance(seconds)
        bench.scorer.answer()
    with pytest.raises(Overloaded):
        bench.ask(5, seconds=200)


@on_virtual_time
async def test_an_idle_worker_gets_a_row_whatever_was_measured_before() -> None:
    bench = Bench(max_rows=1)
    for value in range(5):
        bench.ask(value, seconds=1000)
    await answer_five(bench)
    bench.ask(9, seconds=1)
    await settle()

    assert bench.scorer.seen[-1] == [9]


@on_virtual_time
async def test_the_row_limit_follows_the_latency_goal() -> None:
    bench = Bench(max_rows=10, latency_goal_ms=100.0)
    for value in range(20):
        bench.ask(value, seconds=1000)
    await settle()
    bench.loop.advance(1)
    bench.scorer.answer()
    await settle()

    assert [len(values) for values in bench.scorer.seen] == [10, 9]


# --- closing and counting ------------------------------------------------------------------------------------------


@on_virtual_time
async def test_closing_answers_everything_that_was_accepted() -> None:
    bench = Bench()
    await bench.fill()
    ticket = bench.ask(1)
    closing = asyncio.create_task(bench.batcher.close(10))
    await settle()
    while_waiting = closing.done()
    bench.scorer.answer()
    await settle()
    bench.scorer.answer()
    await closing

    assert (while_waiting, await outcome(ticket)) == (False, [1001])


@on_virtual_time
async def test_closing_takes_no_longer_than_its_drain_time() -> None:
    bench = Bench()
    running, waiting = bench.ask(1, seconds=60), bench.ask(*range(40), seconds=60)
    started = bench.loop.now
    await bench.batcher.close(10)

    assert bench.loop.now - started == pytest.approx(10)
    assert [await outcome(running), await outcome(waiting)] == [NotReady, NotReady]


@on_virtual_time
async def test_a_batcher_that_was_closed_keeps_nobodys_rows() -> None:
    bench = Bench()
    await bench.fill()
    bench.ask(1, seconds=60)
    await bench.batcher.close(1)

    assert bench.batcher.rows_waiting == 0


@on_virtual_time
async def test_closing_ends_when_the_last_row_has_expired_in_the_line() -> None:
    bench = Bench()
    bench.ask(0, seconds=2)
    bench.ask(1, seconds=1)
    await settle()
    bench.ask(2, seconds=3)
    closing = asyncio.create_task(bench.batcher.close(60))
    await settle()
    bench.loop.advance(4)
    bench.scorer.answer()
    started = bench.loop.now
    await closing

    assert bench.loop.now == started


@on_virtual_time
async def test_what_is_answered_after_closing_is_heard_by_nobody() -> None:
    bench = Bench()
    ticket = bench.ask(1, seconds=60)
    await settle()
    await bench.batcher.close(1)
    bench.scorer.answer()
    await settle()

    assert (await outcome(ticket), bench.batcher.rows_in_flight) == (NotReady, 0)


@on_virtual_time
async def test_a_batch_that_is_lost_after_closing_is_not_tried_again() -> None:
    bench = Bench()
    bench.ask(1, seconds=60)
    await settle()
    await bench.batcher.close(1)
    bench.scorer.fail(WorkerLost("gone", "w1"))
    await settle()

    assert bench.scorer.seen == [[1]]


@on_virtual_time
async def test_a_closed_batcher_takes_nothing() -> None:
    bench = Bench()
    await bench.batcher.close(1)
    with pytest.raises(NotReady):
        bench.ask(1)


@on_virtual_time
async def test_the_counters_tell_batches_by_size_and_times_apart() -> None:
    bench = Bench(max_rows=3)
    for value in range(4):
        bench.ask(value)
    await settle()
    bench.loop.advance(1)
    bench.scorer.answer()
    await settle()
    bench.scorer.answer()
    await settle()
    stats = bench.batcher.stats()

    assert stats.batches == {1: (1, 250_000_000), 3: (1, 250_000_000)}
    assert (stats.inference_count, stats.compute_ns) == (4, 500_000_000)
    assert (stats.success_ns, stats.queue_ns) == (4_000_000_000, 1_000_000_000)


@on_virtual_time
async def test_the_timeline_is_marked_when_the_rows_first_leave() -> None:
    bench = Bench()
    timeline = Timeline()
    bench.batcher.accept(rows_of(1), bench.loop.now + 5, timeline)
    before = list(timeline.stages)
    await settle()
    bench.scorer.fail(WorkerLost("gone", "w1"))
    await settle()

    assert (before, [stage for stage, _ in timeline.stages]) == ([], ["queue"])


@on_virtual_time
async def test_all_callers_of_a_batch_are_told_the_same_times() -> None:
    bench = Bench()
    timelines = [Timeline() for _ in range(3)]
    for value, timeline in enumerate(timelines):
        bench.batcher.accept(rows_of(value), bench.loop.now + 5, timeline)
    await settle()
    bench.scorer.answer()

    assert len({(each.queue, each.worker, each.compute) for each in timelines}) == 1
    assert timelines[0].queue < timelines[0].worker
    assert timelines[0].compute == 250_000_000


@on_virtual_time
async def test_an_answer_that_came_before_its_caller_left_keeps_its_times() -> None:
    bench = Bench()
    timeline = Timeline()
    ticket = bench.batcher.accept(rows_of(1), bench.loop.now + 5, timeline)
    await settle()
    bench.scorer.answer()
    answered = timeline.worker
    bench.batcher.withdraw(ticket)

    assert (timeline.worker, timeline.compute) == (answered, 250_000_000)


@on_virtual_time
async def test_the_timeline_of_a_large_request_ends_with_its_last_part_and_tells_what_all_parts_took() -> None:
    bench = Bench(places=2, max_rows=2)
    timeline = Timeline()
    ticket = bench.batcher.accept(rows_of(1, 2, 3, 4), bench.loop.now + 5, timeline)
    await settle()
    bench.scorer.answer()
    await settle()
    after_one = timeline.worker, timeline.compute
    bench.scorer.answer()
    await ticket.reply

    assert after_one == (0, -1)
    assert timeline.worker > 0
    assert timeline.compute == 500_000_000


@on_virtual_time
async def test_the_timeline_of_a_large_request_is_marked_when_its_first_part_leaves() -> None:
    bench = Bench(places=1, max_rows=2)
    timeline = Timeline()
    ticket = bench.batcher.accept(rows_of(1, 2, 3, 4), bench.loop.now + 5, timeline)
    await settle()
    first, left = timeline.queue, ticket.left
    bench.loop.advance(1)
    bench.scorer.answer()
    await settle()

    assert len(bench.scorer.seen) == 2
    assert first > 0
    assert (timeline.queue, ticket.left) == (first, left)
