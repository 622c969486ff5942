"""Which batches are scored on the thread on which they came, on a clock that only moves when told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from tests.support.scripted_runtime import loaded
from workers.codec import BatchCodec
from workers.inbox import Job
from workers.runtimes.base import Batch, BatchInvalid, Loaded, ModelError, ModelTimeout, Result, Runtime, Warned
from workers.scoring import Scoring
from workers.warning_log import WarningLog
from workers.watchdog import Watchdog
from workers.wire.v1 import worker_pb2 as wire


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Anywhere(Runtime):
    """Answers each batch with itself; ``then`` runs meanwhile."""

    loads_before_fork: ClassVar[bool] = False
    scores_anywhere = True

    def __init__(self) -> None:
        self.scored = 0
        self.then: Callable[[], None] = lambda: None
        self.warnings: list[Warned] = []

    def load(self) -> Loaded:
        return loaded()

    def score(self, batch: Batch) -> Result:
        self.scored += 1
        self.then()
        return Result(batch.records, warnings=self.warnings)


class OnItsOwnThread(Anywhere):
    scores_anywhere = False


class Nobody:
    is_closed = False

    def post(self, reply: wire.Reply) -> None:
        raise AssertionError(reply)


class Bench:
    def __init__(self, runtime: Anywhere | None = None) -> None:
        self.clock, self.runtime = Clock(), runtime or Anywhere()
        self.killed: list[float] = []
        self.watchdog = watchdog = Watchdog(
            self.runtime.interrupt, self.clock, 1.0, kill=lambda: self.killed.append(self.clock.now)
        )
        codec = BatchCodec(loaded())
        self.scoring = Scoring(
            runtime=self.runtime,
            codec=codec,
            watchdog=watchdog,
            warnings=WarningLog("e/blue/0", self.clock),
            timeout=30.0,
            clock=self.clock,
        )

    def job(self, number: int = 1, budget: float | None = None, rows: int = 1) -> Job:
        deadline = None if budget is None else self.clock.now + budget
        return Job(number, Batch(rows, bytes(8 * rows)), Nobody(), deadline)

    def computing_for(self, seconds: float) -> None:
        """From now on every batch takes so long."""
        self.runtime.then = lambda: setattr(self.clock, "now", self.clock.now + seconds)


def test_a_batch_is_scored_at_once_after_one_that_was_brief() -> None:
    bench = Bench()
    bench.computing_for(0.0005)
    bench.scoring.score(bench.job(1))
    reply = bench.scoring.at_once(bench.job(2))

    assert reply is not None
    assert (reply.id, reply.rows, reply.compute_ns) == (2, 1, 500_000)


def test_the_first_batch_stays_on_the_models_thread() -> None:
    bench = Bench()

    assert bench.scoring.at_once(bench.job()) is None
    assert bench.runtime.scored == 0


def test_after_a_slow_batch_none_is_scored_at_once_until_one_was_brief() -> None:
    bench = Bench()
    bench.scoring.score(bench.job())
    bench.computing_for(0.002)
    at_once = [bench.scoring.at_once(bench.job()) is not None for _ in range(2)]
    bench.computing_for(0.0)
    bench.scoring.score(bench.job())
    at_once.append(bench.scoring.at_once(bench.job()) is not None)

    assert at_once == [True, False, True]


def test_after_a_batch_that_was_stopped_none_is_scored_at_once() -> None:
    bench = Bench()
    bench.scoring.score(bench.job())

    def stop() -> None:
        raise ModelTimeout

    bench.runtime.then = stop
    stopped = bench.scoring.at_once(bench.job())

    assert stopped is not None
    assert stopped.failure.code == wire.Failure.TIMEOUT
    assert bench.scoring.at_once(bench.job()) is None


def test_a_batch_that_hangs_at_once_is_killed_as_any_other() -> None:
    bench = Bench()
    bench.scoring.score(bench.job())

    def hang() -> None:
        for _ in range(4):
            bench.clock.now += 0.5
            bench.watchdog.look()

    bench.runtime.then = hang
    bench.scoring.at_once(bench.job(budget=0.5))

    assert bench.killed == [101.5, 102.0]


def test_a_runtime_that_insists_on_its_thread_never_scores_at_once() -> None:
    bench = Bench(OnItsOwnThread())
    bench.scoring.score(bench.job())

    assert bench.scoring.at_once(bench.job()) is None
    assert bench.runtime.scored == 1


def test_two_batches_never_compute_together() -> None:
    bench = Bench()
    bench.scoring.score(bench.job())
    computing, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        computing.set()
        assert go_on.wait(20)

    bench.runtime.then = wait
    thread = threading.Thread(target=bench.scoring.score, args=(bench.job(),))
    thread.start()
    assert computing.wait(20)
    meanwhile = bench.scoring.at_once(bench.job())
    go_on.set()
    thread.join(20)

    assert meanwhile is None
    assert bench.runtime.scored == 2


def test_a_batch_past_its_budget_is_answered_but_not_computed_at_once() -> None:
    bench = Bench()
    bench.scoring.score(bench.job())
    job = bench.job(2, budget=0.5)
    bench.clock.now += 1.0
    reply = bench.scoring.at_once(job)

    assert reply is not None
    assert reply.failure.code == wire.Failure.TIMEOUT
    assert bench.runtime.scored == 1


def test_once_closed_nothing_is_scored_at_once() -> None:
    bench = Bench()
    bench.scoring.score(bench.job())
    bench.scoring.close()

    assert bench.scoring.at_once(bench.job()) is None
    assert bench.runtime.scored == 1


def test_closing_waits_for_the_batch_that_is_scored_at_once() -> None:
    bench = Bench()
    bench.scoring.score(bench.job())
    order: list[str] = []
    computing, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        computing.set()
        assert go_on.wait(20)
        order.append("scored")

    bench.runtime.then = wait
    scorer = threading.Thread(target=bench.scoring.at_once, args=(bench.job(),))
    scorer.start()
    assert computing.wait(20)

    def close() -> None:
        bench.scoring.close()
        order.append("closed")

    closer = threading.Thread(target=close)
    closer.start()
    go_on.set()
    scorer.join(20)
    closer.join(20)

    assert order == ["scored", "closed"]


def test_a_batch_of_many_rows_is_not_scored_at_once_because_one_of_few_was_brief() -> None:
    bench = Bench()
    bench.computing_for(0.0001)
    bench.scoring.score(bench.job())
    many = bench.scoring.at_once(bench.job(rows=64))
    few = bench.scoring.at_once(bench.job(rows=8))

    assert many is None
    assert few is not None


def test_a_batch_of_many_rows_that_was_brief_lets_others_of_as_many_be_scored_at_once() -> None:
    bench = Bench()
    bench.computing_for(0.0005)
    bench.scoring.score(bench.job(rows=64))
    bench.scoring.score(bench.job())

    assert bench.scoring.at_once(bench.job(rows=64)) is not None


@pytest.mark.parametrize("error", [ModelError("no", kind="k"), BatchInvalid("no"), AttributeError("a bug")])
def test_after_a_batch_without_an_answer_none_is_scored_at_once(error: Exception) -> None:
    bench = Bench()
    bench.scoring.score(bench.job())

    def fail() -> None:
        bench.clock.now += 2.0
        raise error

    bench.runtime.then = fail
    failed = bench.scoring.at_once(bench.job())

    assert failed is not None
    assert failed.failure.code
    assert bench.scoring.at_once(bench.job()) is None


def test_what_a_model_warns_of_is_in_the_workers_log() -> None:
    bench = Bench()
    bench.runtime.warnings = [("odd", "simpleWarning")]
    with capture_logs() as events:
        bench.scoring.score(bench.job())

    assert [(event["event"], event["message"]) for event in events] == [("worker.model_warned", "odd")]


def test_what_a_model_warned_of_before_it_failed_is_in_the_workers_log() -> None:
    bench = Bench()

    def fail() -> None:
        raise ModelError("no", "simpleError", [("odd", "simpleWarning")])

    bench.runtime.then = fail
    with capture_logs() as events:
        reply = bench.scoring.score(bench.job())

    assert [(event["event"], event["message"]) for event in events] == [("worker.model_warned", "odd")]
    assert (reply.failure.message, reply.failure.kind) == ("no", "simpleError")
