"""The pool against real gRPC servers on Unix sockets that play workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.description import Description
from gateway.core.errors import DeadlineExceeded, GatewayError, InvalidInput, ModelFailed, NotReady, WorkerFailed
from gateway.core.scoring import WorkerLost
from gateway.pool.config import PoolConfig
from gateway.pool.pool import Pool
from tests.support.fake_worker import FakeWorker, answer, description, failure
from tests.support.held_scorer import OTHER_LAYOUT, numbers, rows_of
from tests.support.virtual_loop import settle
from workers.wire.v1 import worker_pb2 as wire

FAST = PoolConfig(min_backoff_ms=1, max_backoff_ms=5)


def soon() -> float:
    return time.monotonic() + 5


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[FakeWorker]:
    worker = FakeWorker(f"unix:{tmp_path}/a")
    await worker.start()
    yield worker
    await worker.die()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[FakeWorker]:
    worker = FakeWorker(f"unix:{tmp_path}/b", description(pid=2))
    await worker.start()
    yield worker
    await worker.die()


class Changes:
    """Waits for what the pool's callback announces."""

    def __init__(self, pool: Pool) -> None:
        self._event = asyncio.Event()
        pool.on_place(self._event.set)

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._event.clear()
            await self._event.wait()


@asynccontextmanager
async def running(
    workers: Sequence[FakeWorker], config: PoolConfig = FAST, places: int = 2, **arguments: object
) -> AsyncIterator[tuple[Pool, Changes]]:
    """A pool, once it has ``places``; everything within is bounded by ten seconds."""
    pool = Pool("e/d", [worker.address for worker in workers], config, **arguments)  # type: ignore[arg-type]
    changes = Changes(pool)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.run())
        try:
            await changes.until(lambda: pool.places >= places)
            yield pool, changes
        finally:
            await pool.close()


async def test_a_batch_comes_back_scored_with_the_workers_own_time(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, _):
        scored = await pool.score(rows_of(1, 2), soon())

    assert numbers(scored.rows) == [1001, 1002]
    assert scored.compute == pytest.approx(0.002)


async def test_the_first_worker_that_describes_itself_is_published_once(worker: FakeWorker, other: FakeWorker) -> None:
    published: list[Description] = []
    async with running([worker, other], places=4, on_description=published.append):
        pass

    assert [facts.platform for facts in published] == ["r"]


async def test_a_worker_is_told_what_is_left_of_the_time(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, _):
        await pool.score(rows_of(1), time.monotonic() + 60)

    assert 50_000 < worker.batches[0].budget_ms <= 60_000


async def test_a_batch_without_time_left_is_not_sent(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, _):
        with pytest.raises(DeadlineExceeded):
            await pool.score(rows_of(1), time.monotonic() - 1)

    assert worker.batches == []


async def test_a_place_is_taken_at_once_and_free_again_with_the_answer(worker: FakeWorker) -> None:
    worker.script = lambda batch: None
    async with running([worker]) as (pool, _):
        task = asyncio.create_task(pool.score(rows_of(1), soon()))
        await worker.received(1)
        while_held = pool.places
        worker.say(answer(worker.batches[0]))
        await task

        assert (while_held, pool.places) == (1, 2)


async def test_a_batch_is_refused_where_the_only_worker_takes_none(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, changes):
        worker.say(wire.Reply(state=wire.RESTING))
        await changes.until(lambda: not pool.open)
        with pytest.raises(NotReady):
            await pool.score(rows_of(1), soon())

    assert worker.batches == []


async def test_who_asked_for_changes_hears_of_no_answer_but_of_a_worker_that_rests_or_is_lost(
    worker: FakeWorker,
) -> None:
    heard: list[bool] = []
    async with running([worker]) as (pool, changes):
        pool.on_change(tell := lambda: heard.append(pool.open > 0))
        await pool.score(rows_of(1), soon())
        of_an_answer = list(heard)
        worker.say(wire.Reply(state=wire.RESTING))
        await changes.until(lambda: not pool.open)
        worker.say(wire.Reply(state=wire.READY))
        await changes.until(lambda: pool.open > 0)
        await worker.die()
        await changes.until(lambda: not pool.open)
        pool.off_change(tell)

    assert (of_an_answer, heard) == ([], [False, True, False])


async def test_a_slow_model_gets_its_next_batch_only_when_this_one_is_well_under_way(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, _):
        slow = answer(wire.Batch(rows=1, records=bytes(8)))
        slow.compute_ns = 3_600_000_000_000
        worker.script = lambda batch: wire.Reply.FromString(slow.SerializeToString() + _numbered(batch.id))
        await pool.score(rows_of(1), soon())
        worker.script = lambda batch: None
        task = asyncio.create_task(pool.score(rows_of(1), soon()))
        await worker.received(2)
        while_computing = pool.places, pool.spare
        worker.say(answer(worker.batches[1]))
        await task

        assert (while_computing, pool.places) == ((0, 1), 2)


def _numbered(number: int) -> bytes:
    """Appended to a message, the last value of a field counts."""
    return wire.Reply(id=number).SerializeToString()


async def test_replies_in_another_order_find_their_own_batches(worker: FakeWorker) -> None:
    worker.script = lambda batch: None
    async with running([worker]) as (pool, _):
        first = asyncio.create_task(pool.score(rows_of(1), soon()))
        second = asyncio.create_task(pool.score(rows_of(2), soon()))
        await worker.received(2)
        worker.say(answer(worker.batches[1]))
        worker.say(answer(worker.batches[0]))

        assert [numbers((await task).rows) for task in (first, second)] == [[1001], [1002]]


async def test_batches_go_to_the_worker_with_fewest_rows(worker: FakeWorker, other: FakeWorker) -> None:
    worker.script = other.script = lambda batch: None
    async with running([worker, other], places=4) as (pool, _), asyncio.TaskGroup() as tasks:
        for rows in (rows_of(*range(9)), rows_of(1), rows_of(2)):
            tasks.create_task(pool.score(rows, soon()))
        await settle()
        loads = {facts.address: facts.rows_in_flight for facts in pool.snapshot()}
        for each in (worker, other):
            await each.received(1 if loads[each.address] == 9 else 2)
            for batch in each.batches:
                each.say(answer(batch))

    assert sorted(loads.values()) == [2, 9]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (wire.Failure.MODEL, ModelFailed),
        (wire.Failure.TIMEOUT, DeadlineExceeded),
        (wire.Failure.INVALID, InvalidInput),
        (wire.Failure.INTERNAL, WorkerLost),
        (wire.Failure.REFUSED, NotReady),
    ],
)
async def test_each_failure_has_its_own_error(
    worker: FakeWorker, code: wire.Failure.Code, error: type[GatewayError]
) -> None:
    worker.script = failure(code)
    async with running([worker]) as (pool, _):
        with pytest.raises(error) as caught:
            await pool.score(rows_of(1), soon())

    assert type(caught.value) is error


async def test_a_models_error_keeps_its_message_and_class(worker: FakeWorker) -> None:
    worker.script = failure(wire.Failure.MODEL, "non-numeric argument", "simpleError")
    async with running([worker]) as (pool, _):
        with pytest.raises(ModelFailed, match="non-numeric argument") as caught:
            await pool.score(rows_of(1), soon())

    assert caught.value.kind == "simpleError"


async def test_a_refused_batch_goes_to_another_worker(worker: FakeWorker, other: FakeWorker) -> None:
    worker.script = failure(wire.Failure.REFUSED)
    async with running([worker, other], places=4) as (pool, _):
        answers = [numbers((await pool.score(rows_of(i), soon())).rows) for i in range(3)]

    assert answers == [[1000], [1001], [1002]]


async def test_a_worker_that_dies_with_batches_loses_them_at_once(worker: FakeWorker) -> None:
    worker.script = lambda batch: None
    async with running([worker]) as (pool, _):
        task = asyncio.create_task(pool.score(rows_of(1), soon()))
        await worker.received(1)
        await worker.die()
        with pytest.raises(WorkerLost) as caught:
            await task

    assert caught.value.worker == f"{worker.address}, process 1"
    assert "unix" not in str(caught.value)


async def test_a_worker_that_is_back_serves_again_and_its_restart_is_counted(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, changes):
        await worker.die()
        await changes.until(lambda: pool.places == 0)
        worker.facts = description(pid=77)
        await worker.start()
        await changes.until(lambda: pool.places == 2)
        scored = await pool.score(rows_of(5), soon())
        facts = pool.snapshot()[0]

    assert numbers(scored.rows) == [1005]
    assert (facts.pid, facts.restarts, facts.state) == (77, 1, "ready")


async def test_a_pool_that_just_lost_its_worker_is_ready_for_the_restart_and_then_no_more(worker: FakeWorker) -> None:
    config = PoolConfig(min_backoff_ms=1, max_backoff_ms=5, soon_ms=50)
    async with running([worker], config) as (pool, changes):
        await worker.die()
        await changes.until(lambda: pool.places == 0)
        just_after = pool.is_ready
        await changes.until(lambda: not pool.is_ready)

        assert just_after


async def test_a_pool_is_not_ready_before_a_worker_was_ever_there(tmp_path: Path) -> None:
    pool = Pool("e/d", [f"unix:{tmp_path}/nobody"], FAST)

    assert not pool.is_ready


async def test_a_resting_worker_gets_nothing_new_but_answers_what_it_has(worker: FakeWorker) -> None:
    worker.script = lambda batch: None
    async with running([worker]) as (pool, changes):
        task = asyncio.create_task(pool.score(rows_of(1), soon()))
        await worker.received(1)
        worker.say(wire.Reply(state=wire.RESTING))
        await changes.until(lambda: pool.places == 0)
        is_ready = pool.is_ready
        worker.say(answer(worker.batches[0]))
        scored = await task
        places_after = pool.places
        worker.say(wire.Reply(state=wire.READY))
        await changes.until(lambda: pool.places == 2)

    assert (is_ready, numbers(scored.rows), places_after) == (True, [1001], 0)


async def test_while_one_rests_the_other_serves(worker: FakeWorker, other: FakeWorker) -> None:
    async with running([worker, other], places=4) as (pool, changes):
        worker.say(wire.Reply(state=wire.RESTING))
        await changes.until(lambda: pool.places == 2)
        for i in range(4):
            await pool.score(rows_of(i), soon())

    assert (len(worker.batches), len(other.batches)) == (0, 4)


async def test_a_draining_worker_may_leave_and_come_back(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, changes):
        worker.say(wire.Reply(state=wire.DRAINING))
        await changes.until(lambda: pool.places == 0)
        worker.hang_up()
        await changes.until(lambda: pool.places == 2)
        scored = await pool.score(rows_of(1), soon())

    assert numbers(scored.rows) == [1001]


GARBAGE: list[Callable[[wire.Batch], wire.Reply]] = [
    lambda batch: wire.Reply(id=batch.id, rows=batch.rows, records=b"short"),
    lambda batch: wire.Reply(id=batch.id, rows=batch.rows + 1, records=bytes(8 * (batch.rows + 1))),
    lambda batch: wire.Reply(id=batch.id),
    lambda batch: wire.Reply(
        id=batch.id, rows=batch.rows, records=bytes(8 * batch.rows), texts=[wire.Text(values=["x"])]
    ),
]


@pytest.mark.parametrize("script", GARBAGE)
async def test_an_answer_of_the_wrong_size_fails_its_batch_only(
    worker: FakeWorker, script: Callable[[wire.Batch], wire.Reply]
) -> None:
    worker.script = script
    async with running([worker]) as (pool, _):
        with pytest.raises(WorkerFailed) as caught:
            await pool.score(rows_of(1, 2), soon())
        worker.script = answer
        scored = await pool.score(rows_of(3), soon())

    assert type(caught.value) is WorkerFailed
    assert numbers(scored.rows) == [1003]


async def test_a_reply_to_nobody_is_ignored(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, _):
        worker.say(wire.Reply(id=4711, rows=1, records=bytes(8)))
        scored = await pool.score(rows_of(1), soon())

    assert numbers(scored.rows) == [1001]


async def test_a_worker_that_hangs_past_the_deadline_and_grace_is_given_up(worker: FakeWorker) -> None:
    worker.script = lambda batch: None
    config = PoolConfig(min_backoff_ms=1, max_backoff_ms=5, hang_grace_ms=30)
    async with running([worker], config) as (pool, changes):
        with pytest.raises(WorkerLost):
            await pool.score(rows_of(1), time.monotonic() + 0.03)
        worker.script = answer
        await changes.until(lambda: pool.places == 2)
        scored = await pool.score(rows_of(2), soon())

    assert numbers(scored.rows) == [1002]


async def lost(pool: Pool, worker: FakeWorker) -> str:
    """What to avoid after ``worker`` has failed with a batch."""
    worker.script = failure(wire.Failure.INTERNAL)
    while True:
        try:
            await pool.score(rows_of(1), soon())
        except WorkerLost as error:
            worker.script = answer
            worker.batches.clear()
            return error.worker


async def test_the_retry_avoids_the_worker_that_was_lost(worker: FakeWorker, other: FakeWorker) -> None:
    async with running([worker, other], places=4) as (pool, _):
        avoid = await lost(pool, worker)
        other.batches.clear()
        for i in range(4):
            await pool.score(rows_of(i), soon(), avoid=avoid)

    assert (len(worker.batches), len(other.batches)) == (0, 4)


async def replaced(worker: FakeWorker, pool: Pool, changes: Changes) -> None:
    """Another process is at the address of ``worker``, and the pool is linked to it."""
    places = pool.places
    await worker.die()
    await changes.until(lambda: pool.places < places)
    worker.facts = description(pid=77)
    await worker.start()
    await changes.until(lambda: pool.places == places)


async def lost_and_replaced(pool: Pool, worker: FakeWorker, other: FakeWorker, changes: Changes) -> str:
    """Who is to be avoided; ``other`` has forgotten what it got until then."""
    avoid = await lost(pool, worker)
    other.batches.clear()
    await replaced(worker, pool, changes)
    return avoid


async def test_a_retry_goes_elsewhere_also_when_another_process_has_taken_the_place_of_the_lost_one(
    worker: FakeWorker, other: FakeWorker
) -> None:
    async with running([worker, other], places=4) as (pool, changes):
        avoid = await lost_and_replaced(pool, worker, other, changes)
        for i in range(4):
            await pool.score(rows_of(i), soon(), avoid=avoid)

    assert (len(worker.batches), len(other.batches)) == (0, 4)


async def test_retries_do_not_pile_up_elsewhere_once_another_process_has_taken_its_place(
    worker: FakeWorker, other: FakeWorker
) -> None:
    async with running([worker, other], places=4) as (pool, changes):
        avoid = await lost_and_replaced(pool, worker, other, changes)
        await asyncio.gather(*(pool.score(rows_of(i), soon(), avoid=avoid) for i in range(4)))

    assert (len(worker.batches), len(other.batches)) == (2, 2)


async def test_a_retry_goes_to_the_process_that_has_taken_the_place_of_the_lost_one_when_nobody_else_serves(
    worker: FakeWorker, other: FakeWorker
) -> None:
    async with running([worker, other], places=4) as (pool, changes):
        avoid = await lost(pool, worker)
        await replaced(worker, pool, changes)
        await other.die()
        await changes.until(lambda: pool.places == 2)
        scored = await pool.score(rows_of(1), soon(), avoid=avoid)

    assert (len(worker.batches), numbers(scored.rows)) == (1, [1001])


async def test_the_avoided_worker_is_taken_when_it_is_alone(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, _):
        scored = await pool.score(rows_of(1), soon(), avoid=await lost(pool, worker))

    assert numbers(scored.rows) == [1001]


async def test_a_worker_that_keeps_failing_is_taken_out_and_tried_again_later(worker: FakeWorker) -> None:
    worker.script = failure(wire.Failure.INTERNAL)
    config = PoolConfig(breaker_failures=2, breaker_open_ms=30)
    async with running([worker], config) as (pool, changes):
        for _ in range(2):
            with pytest.raises(WorkerLost):
                await pool.score(rows_of(1), soon())
        when_open = (pool.places, pool.is_ready)
        worker.script = answer
        await changes.until(lambda: pool.places > 0)
        when_half_open = pool.places
        await pool.score(rows_of(1), soon())

        assert (when_open, when_half_open, pool.places) == ((0, False), 1, 2)


async def test_a_models_errors_do_not_take_a_worker_out(worker: FakeWorker) -> None:
    worker.script = failure(wire.Failure.MODEL)
    async with running([worker], PoolConfig(breaker_failures=1)) as (pool, _):
        with pytest.raises(ModelFailed):
            await pool.score(rows_of(1), soon())

        assert pool.places == 2


async def test_a_worker_with_another_signature_is_turned_away(worker: FakeWorker, other: FakeWorker) -> None:
    other.facts = description(pid=2, inputs=[wire.Column(name="z", kind="float", datatype="FP64")])
    await other.die()
    async with running([worker, other]) as (pool, _):
        await other.start()
        await other.connected(times=2)
        states = [facts.state for facts in pool.snapshot()]

    assert states == ["ready", "connecting"]


async def test_a_model_may_be_replaced_when_nobody_serves_the_old_one(worker: FakeWorker) -> None:
    published: list[Description] = []
    async with running([worker], on_description=published.append) as (pool, changes):
        await worker.die()
        await changes.until(lambda: pool.places == 0)
        worker.facts = description(pid=2, inputs=[wire.Column(name="z", kind="float", datatype="FP64")])
        await worker.start()
        await changes.until(lambda: pool.places == 2)

    assert [facts.signature.inputs[0].name for facts in published] == ["x", "z"]


async def test_rows_laid_out_for_another_model_are_not_sent(worker: FakeWorker) -> None:
    async with running([worker]) as (pool, _):
        with pytest.raises(NotReady):
            await pool.score(rows_of(1, layout=OTHER_LAYOUT), soon())

    assert worker.batches == []


async def test_large_batches_cross(worker: FakeWorker) -> None:
    rows = rows_of(*range(600_000))  # 4.8 MB, more than gRPC's own limit
    async with running([worker]) as (pool, _):
        scored = await pool.score(rows, time.monotonic() + 60)

    assert scored.rows.count == 600_000


async def test_a_stream_whose_first_word_is_not_a_state_is_not_used(worker: FakeWorker) -> None:
    worker.first = wire.Reply(id=1)
    async with running([worker], places=0) as (pool, changes):
        await worker.connected()
        places = pool.places
        worker.first = wire.Reply(state=wire.READY)
        await changes.until(lambda: pool.places == 2)

    assert places == 0


async def test_closing_the_pool_loses_what_is_out(worker: FakeWorker) -> None:
    worker.script = lambda batch: None
    async with running([worker]) as (pool, _):
        task = asyncio.create_task(pool.score(rows_of(1), soon()))
        await worker.received(1)
        await pool.close()
        with pytest.raises(WorkerLost):
            await task
