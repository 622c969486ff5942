"""What the model's thread does with its jobs, on a clock that only moves when told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.scripted_runtime import loaded
from workers.codec import BatchCodec
from workers.inbox import Inbox, Job
from workers.lifecycle import Exit, Lifecycle, State
from workers.memory import MemoryLimit
from workers.model_loop import ModelLoop
from workers.options import GroupOptions, WorkerOptions
from workers.runtimes.base import Batch, Loaded, Result, Runtime
from workers.scoring import Scoring
from workers.turns import Turn, turn_path
from workers.warning_log import WarningLog
from workers.watchdog import Watchdog
from workers.wire.v1 import worker_pb2 as wire


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Recorder(Runtime):
    """Keeps the first number of each batch; ``then`` runs while a batch is scored."""

    loads_before_fork = False
    scores_anywhere = True

    def __init__(self) -> None:
        self.scored: list[int] = []
        self.then: dict[int, Callable[[], None]] = {}
        self.due = False
        self.rests = 0

    def load(self) -> Loaded:
        return loaded()

    def score(self, batch: Batch) -> Result:
        number = int(np.frombuffer(batch.records, "<i8")[0])
        self.scored.append(number)
        self.then.get(number, lambda: None)()
        return Result(batch.records)

    @property
    def is_due(self) -> bool:
        return self.due

    def rest(self) -> None:
        self.due = False
        self.rests += 1


class Replies:
    """A stream's end."""

    def __init__(self) -> None:
        self.is_closed = False
        self.posted: list[wire.Reply] = []

    def post(self, reply: wire.Reply) -> None:
        self.posted.append(reply)


class Bench:
    """A loop and everything around it, one thread."""

    def __init__(self, turn: Turn | None = None, resident_mb: float = 0, limit_mb: int = 0) -> None:
        self.clock, self.runtime, self.inbox, self.stream = Clock(), Recorder(), Inbox(limit=8), Replies()
        self.states: list[State] = []
        self.lifecycle = Lifecycle(self.states.append)
        self.watchdog = Watchdog(self.runtime.interrupt, self.clock, 1.0, kill=lambda: None)
        self.scoring = Scoring(
            runtime=self.runtime,
            codec=BatchCodec(loaded()),
            watchdog=self.watchdog,
            warnings=WarningLog("e/blue/0", self.clock),
            timeout=30.0,
            clock=self.clock,
        )
        self.loop = ModelLoop(
            runtime=self.runtime,
            scoring=self.scoring,
            inbox=self.inbox,
            lifecycle=self.lifecycle,
            watchdog=self.watchdog,
            memory=MemoryLimit(limit_mb, self.clock, lambda: resident_mb),
            turn=turn,
            timeout=30.0,
            clock=self.clock,
        )
        self.lifecycle.move(State.READY)

    def job(self, number: int, budget: float | None = None, stream: Replies | None = None) -> Job:
        deadline = None if budget is None else self.clock.now + budget
        batch = Batch(1, np.array([number], "<i8").tobytes())
        return Job(number, batch, stream or self.stream, deadline)

    def queue(self, number: int, budget: float | None = None, stream: Replies | None = None) -> None:
        assert self.inbox.put(self.job(number, budget, stream))

    def end_after(self, number: int, grace: float = 0.0) -> None:
        """Drain while batch ``number`` is scored; without a grace nothing is scored after it."""
        self.runtime.then[number] = lambda: self.loop.drain(grace)


@pytest.fixture
def turn(tmp_path: Path) -> Turn:
    workers = [WorkerOptions(name=f"e/d/{i}", address=f"unix:{tmp_path}/{i}") for i in range(2)]
    return Turn(turn_path(GroupOptions(model="m", workers=workers)))


def test_a_batch_whose_budget_is_over_is_never_computed() -> None:
    bench = Bench()
    bench.queue(1)
    bench.queue(2, budget=0.5)
    bench.queue(3, budget=1.5)
    bench.runtime.then[1] = lambda: setattr(bench.clock, "now", bench.clock.now + 1.0)
    bench.end_after(3)

    bench.loop.run()

    assert bench.runtime.scored == [1, 3]
    assert [reply.failure.code for reply in bench.stream.posted] == [0, wire.Failure.TIMEOUT, 0]


def test_the_batches_of_a_stream_that_is_gone_are_dropped() -> None:
    bench, gone = Bench(), Replies()
    gone.is_closed = True
    bench.queue(1, stream=gone)
    bench.queue(2)
    bench.end_after(2)

    bench.loop.run()

    assert bench.runtime.scored == [2]
    assert gone.posted == []


def test_what_the_drain_time_does_not_cover_is_refused() -> None:
    bench = Bench()
    bench.queue(1)
    bench.queue(2)
    bench.end_after(1)

    code = bench.loop.run()

    assert [(reply.id, reply.failure.code) for reply in bench.stream.posted] == [(1, 0), (2, wire.Failure.REFUSED)]
    assert (code, bench.loop.unfinished) == (Exit.DRAINED, 1)


def test_a_loop_that_has_ended_takes_no_more_batches() -> None:
    bench = Bench()
    bench.queue(1)
    bench.end_after(1)

    bench.loop.run()

    assert not bench.inbox.put(Job(2, Batch(1, bytes(8)), bench.stream, None))


def test_alone_a_rest_comes_once_nothing_is_queued_and_is_not_announced() -> None:
    bench = Bench()
    bench.runtime.due = True
    bench.queue(1)
    rest, at_rest = bench.runtime.rest, []

    def rest_then_end() -> None:
        at_rest.extend(bench.runtime.scored)
        rest()
        bench.loop.drain(0.0)

    bench.runtime.rest = rest_then_end  # type: ignore[method-assign]
    bench.loop.run()

    assert at_rest == [1]
    assert bench.states == [State.READY, State.DRAINING]


def test_with_siblings_what_is_queued_is_scored_between_the_announcement_and_the_rest(turn: Turn) -> None:
    bench = Bench(turn)
    bench.runtime.due = True
    for number in (1, 2, 3):
        bench.queue(number)
    seen: list[tuple[int, State]] = []
    for number in (1, 2, 3):
        bench.runtime.then[number] = lambda: seen.append((bench.runtime.scored[-1], bench.lifecycle.state))
    rest = bench.runtime.rest

    def rest_then_end() -> None:
        seen.append((0, bench.lifecycle.state))
        rest()
        bench.queue(4)

    bench.runtime.rest = rest_then_end  # type: ignore[method-assign]
    bench.end_after(4)
    bench.loop.run()

    assert seen == [(1, State.READY), (2, State.RESTING), (3, State.RESTING), (0, State.RESTING)]
    assert bench.states == [State.READY, State.RESTING, State.READY, State.DRAINING]
    assert not turn.is_mine


def test_a_worker_past_its_memory_limit_finishes_and_asks_to_be_replaced() -> None:
    bench = Bench(resident_mb=501, limit_mb=500)
    bench.queue(1)
    bench.runtime.then[1] = lambda: bench.queue(2)
    bench.runtime.then[2] = lambda: setattr(bench.clock, "now", bench.clock.now + 1)

    code = bench.loop.run()

    assert code == Exit.RECYCLE
    assert bench.runtime.scored == [1, 2]
    assert bench.states[-1] is State.DRAINING


def test_a_batch_is_scored_at_once_only_while_none_is_queued() -> None:
    bench = Bench()
    bench.scoring.score(bench.job(1))
    bench.queue(2)
    behind_another = bench.loop.at_once(bench.job(3))
    bench.inbox.take()
    alone = bench.loop.at_once(bench.job(4))

    assert behind_another is None
    assert alone is not None
    assert alone.id == 4


def test_a_worker_whose_batches_are_scored_at_once_is_replaced_past_its_memory_limit_too() -> None:
    bench = Bench(resident_mb=501, limit_mb=500)
    bench.scoring.score(bench.job(1))
    reply = bench.loop.at_once(bench.job(2))
    take = bench.inbox.take

    def wait(timeout: float | None = None) -> Job | None:
        bench.clock.now += timeout or 0.0
        return take(None if timeout is None else 0.0)

    bench.inbox.take = wait  # type: ignore[method-assign]

    assert bench.loop.run() == Exit.RECYCLE
    assert reply is not None
    assert reply.id == 2


def test_once_it_drains_every_batch_goes_to_the_models_thread() -> None:
    bench = Bench()
    replies: list[wire.Reply | None] = []

    class Next(Replies):
        """Another batch arrives as soon as one is answered."""

        def post(self, reply: wire.Reply) -> None:
            replies.append(bench.loop.at_once(bench.job(9)))
            bench.clock.now += 1.0

    bench.queue(1)
    bench.queue(2)
    bench.end_after(1, grace=1.0)
    bench.runtime.then[2] = lambda: bench.queue(3, stream=Next())
    bench.scoring.score(bench.job(0))
    bench.loop.run()

    assert bench.runtime.scored == [0, 1, 2, 3]
    assert replies == [None]


def test_a_worker_past_its_memory_limit_waits_for_its_turn(turn: Turn, tmp_path: Path) -> None:
    other = Turn(turn._path)
    assert other.try_take()
    bench = Bench(turn, resident_mb=501, limit_mb=500)
    bench.queue(1)
    bench.queue(2)
    bench.end_after(2)

    assert bench.loop.run() == Exit.DRAINED
