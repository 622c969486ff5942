"""When a batch is interrupted, when the process is killed, and how often the watchdog looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.every_opcode import Trial, at_every_opcode
from workers.watchdog import Watchdog

GRACE = 0.25
TICK = 0.01
EPSILON = 1e-6
NEVER = float("inf")


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.acts: list[str] = []
        self.dog = Watchdog(
            lambda: self.acts.append("interrupt"), lambda: self.now, GRACE, kill=lambda: self.acts.append("kill")
        )

    def look_at(self, now: float) -> list[str]:
        self.now = now
        self.dog.look()
        return self.acts


def test_a_batch_within_its_budget_is_left_alone() -> None:
    bench = Bench()
    bench.dog.begin(1.0)

    assert bench.look_at(0.99) == []


def test_a_batch_at_its_budget_is_interrupted_once() -> None:
    bench = Bench()
    bench.dog.begin(1.0)

    assert bench.look_at(1.0) == ["interrupt"]
    assert bench.look_at(1.2) == ["interrupt"]


def test_after_the_grace_the_process_is_killed() -> None:
    bench = Bench()
    bench.dog.begin(1.0)
    bench.look_at(1.0)

    assert bench.look_at(1.25) == ["interrupt", "kill"]


def test_a_batch_that_is_found_late_because_the_machine_stood_still_has_its_grace_too() -> None:
    bench = Bench()
    bench.dog.begin(1.0)

    assert bench.look_at(9.0) == ["interrupt"]
    assert bench.look_at(9.24) == ["interrupt"]
    assert bench.look_at(9.25) == ["interrupt", "kill"]


def test_a_batch_that_has_ended_is_not_interrupted() -> None:
    bench = Bench()
    bench.dog.begin(1.0)
    bench.dog.end()

    assert bench.look_at(9.0) == []


def test_the_next_batch_has_a_time_of_its_own() -> None:
    bench = Bench()
    bench.dog.begin(1.0)
    bench.look_at(1.1)
    bench.dog.end()
    bench.dog.begin(2.0)

    assert bench.look_at(1.9) == ["interrupt"]
    assert bench.look_at(2.0) == ["interrupt", "interrupt"]


def test_no_batch_goes_on_after_the_end_of_the_drain_time() -> None:
    bench = Bench()
    bench.dog.begin(30.0)
    bench.dog.limit(2.0)

    assert bench.look_at(2.0) == ["interrupt"]


@dataclass
class Work:
    """One batch, in a world where only the watchdog could end it early."""

    pause: float
    """Before it."""
    budget: float
    takes: float
    heeds: bool = True
    """Whether an interrupt ends it."""
    began: float = 0.0
    ended: float | None = None
    interrupted: list[float] = field(default_factory=list)


class Over(Exception):
    """Nothing is going to happen any more, or the process is dead."""


class World:
    """Time that passes only while the watchdog waits for its bell, which is this."""

    def __init__(self, works: Iterator[Work], limit: tuple[float, float] = (NEVER, NEVER)) -> None:
        self.now = 0.0
        self.works = works
        self.limit_at, self.limit = limit
        self.done: list[Work] = []
        self.at_hand: Work | None = None
        self.killed_at: float | None = None
        self.waits = 0
        self.is_rung = False
        self.dog = Watchdog(self.interrupt, lambda: self.now, GRACE, kill=self.kill, bell=self)
        self.following = next(works, None)
        self.changes_at = self.following.pause if self.following else NEVER

    def run(self) -> World:
        with pytest.raises(Over):
            self.dog.run()
        return self

    def set(self) -> None:
        self.is_rung = True

    def clear(self) -> None:
        self.is_rung = False

    def wait(self, timeout: float | None = None, /) -> bool:
        self.waits += 1
        until = NEVER if timeout is None else self.now + timeout
        while not self.is_rung:
            moment = min(self.limit_at, self.changes_at)
            if moment == NEVER and (until == NEVER or self.at_hand is None):
                raise Over
            if moment > until:
                self.now = until
                return False
            self.now = max(self.now, moment)
            self.change()
        return True

    def change(self) -> None:
        if self.limit_at <= self.changes_at:
            self.limit_at = NEVER
            self.dog.limit(self.limit)
        elif self.at_hand is None:
            work = self.at_hand = self.following
            assert work is not None
            work.began = self.now
            self.done.append(work)
            self.changes_at = self.now + work.takes
            self.dog.begin(self.now + work.budget)
        else:
            self.at_hand.ended = self.now
            self.at_hand = None
            self.dog.end()
            self.following = next(self.works, None)
            self.changes_at = self.now + self.following.pause if self.following else NEVER

    def interrupt(self) -> None:
        assert self.at_hand is not None
        self.at_hand.interrupted.append(self.now)
        if self.at_hand.heeds:
            self.changes_at = self.now

    def kill(self) -> None:
        self.killed_at = self.now
        raise Over


def steady(every: float, budget: float, number: int) -> Iterator[Work]:
    return (Work(every - 0.0001, budget, 0.0001) for _ in range(number))


def test_a_batch_that_hangs_is_interrupted_at_its_budget_and_killed_after_the_grace() -> None:
    world = World(iter([Work(3.0, 0.5, 60.0, heeds=False)])).run()

    assert world.done[0].interrupted == pytest.approx([3.5], abs=TICK)
    assert world.killed_at == pytest.approx(3.5 + GRACE, abs=2 * TICK)


def test_without_work_it_never_looks_again() -> None:
    world = World(iter([])).run()

    assert world.waits == 1


def test_after_the_last_work_it_sleeps_before_long() -> None:
    world = World(iter([Work(0.0, 0.02, 0.001), Work(1000.0, 0.02, 0.001)])).run()

    assert world.waits < 50


def test_batches_that_come_and_go_do_not_wake_it_each() -> None:
    world = World(steady(every=0.02, budget=1.0, number=3000)).run()

    assert world.waits < 60 * 3


def test_the_longer_the_budgets_the_less_it_looks() -> None:
    world = World(steady(every=0.02, budget=5.0, number=3000)).run()

    assert world.waits < 60


def test_short_budgets_cost_a_look_in_each() -> None:
    world = World(steady(every=0.002, budget=0.02, number=5000)).run()

    assert world.waits < 10 / 0.02


def test_of_budgets_that_differ_the_shortest_tells_how_often_it_looks() -> None:
    works = (Work(0.01, budget, 0.001) for budget in [5.0, 0.1, 1.0] * 1000)
    world = World(works).run()

    assert world.waits < 33 * 15


seconds = st.integers(0, 3000).map(lambda ms: ms / 1000)
budgets = st.sampled_from([0.0, 0.001, 0.005, 0.01, 0.011, 0.02, 0.05, 0.3, 1.0, 5.0]) | seconds
durations = st.sampled_from([0.0, 0.0001, 0.001, 0.009, 0.02, 0.3]) | seconds


@given(
    works=st.lists(st.builds(Work, pause=durations, budget=budgets, takes=durations, heeds=st.booleans()), max_size=30),
    limit=st.just((NEVER, NEVER)) | st.tuples(seconds, seconds).map(lambda pair: (pair[0], pair[0] + pair[1])),
)
def test_who_overruns_is_interrupted_within_a_tick_and_nobody_else(
    works: list[Work], limit: tuple[float, float]
) -> None:
    world = World(iter(works), limit).run()

    for work in world.done:
        due = max(work.began, min(work.began + work.budget, limit[1]))
        ended = NEVER if work.ended is None else work.ended
        assert len(work.interrupted) <= 1
        assert all(due - EPSILON <= moment <= due + TICK + EPSILON for moment in work.interrupted)
        assert work.interrupted or ended <= due + TICK + EPSILON


@given(
    works=st.lists(st.builds(Work, pause=durations, budget=budgets, takes=durations, heeds=st.booleans()), max_size=30)
)
def test_the_process_is_killed_a_tick_after_the_grace_at_the_latest_and_for_nothing_else(works: list[Work]) -> None:
    world = World(iter(works)).run()

    for work in world.done:
        if work.interrupted and work.ended is not None:
            assert work.ended - work.interrupted[0] <= GRACE + TICK + EPSILON
    if world.killed_at is not None:
        assert world.killed_at == pytest.approx(world.done[-1].interrupted[0] + GRACE, abs=TICK + EPSILON)


class Steps:
    """A bell for a watchdog that is run by hand, one look at a time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at_hand = 0
        self.interrupted: list[int] = []
        self.is_rung = False
        self.next_at = NEVER
        self.dog = Watchdog(lambda: self.interrupted.append(self.at_hand), lambda: self.now, GRACE, bell=self)
        self.dog._lock = cast(Any, self)

    def look_until_it_waits(self) -> None:
        with pytest.raises(Over):
            self.dog.run()

    def set(self) -> None:
        self.is_rung = True

    def clear(self) -> None:
        self.is_rung = False

    def wait(self, timeout: float | None = None, /) -> bool:
        if not self.is_rung:
            self.next_at = NEVER if timeout is None else self.now + timeout
            raise Over
        return True

    # In place of the lock: whoever would wait for it says so.
    is_held = False

    def __enter__(self) -> None:
        if self.is_held:
            raise BlockingIOError
        self.is_held = True

    def __exit__(self, *_: object) -> None:
        self.is_held = False


def awake_long_enough() -> Steps:
    """It has last looked for short budgets, and is about to reach further."""
    steps = Steps()
    steps.dog.begin(0.02)
    steps.dog.end()
    steps.look_until_it_waits()
    steps.now = 1.5
    return steps


def test_a_time_further_off_than_a_thread_can_wait_does_not_end_it() -> None:
    steps = Steps()
    steps.dog.limit(1e12)
    steps.look_until_it_waits()

    assert steps.next_at == threading.TIMEOUT_MAX


BUDGETS = (0.001, 0.015, 1.0, 5.0)


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_batch_that_begins_at_any_point_of_a_look_is_looked_at_in_time(budget: float) -> None:
    found: list[bool] = []

    def trials() -> Iterator[Trial]:
        while True:
            steps = awake_long_enough()
            yield steps.look_until_it_waits, partial(steps.dog.begin, 1.5 + budget)
            found.append(steps.is_rung or steps.next_at <= 1.5 + budget + TICK)

    assert at_every_opcode(Watchdog.__module__, trials()) > 50
    assert all(found)


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_look_at_any_point_of_a_beginning_batch_leaves_it_to_be_looked_at_in_time(budget: float) -> None:
    found: list[bool] = []

    def trials() -> Iterator[Trial]:
        while True:
            steps = awake_long_enough()
            yield partial(steps.dog.begin, 1.5 + budget), steps.look_until_it_waits
            found.append(steps.is_rung or steps.next_at <= 1.5 + budget + TICK)

    assert at_every_opcode(Watchdog.__module__, trials()) > 10
    assert all(found)


def test_an_interrupt_never_hits_the_batch_after_wherever_the_first_one_ends() -> None:
    met: set[str] = set()

    def trials() -> Iterator[Trial]:
        while True:
            steps = Steps()
            steps.at_hand = 1
            steps.dog.begin(1.0)
            steps.now = 1.0

            def go_on(steps: Steps = steps) -> None:
                try:
                    steps.dog.end()
                except BlockingIOError:  # it is the look's to go on
                    met.add("waited")
                    return
                steps.at_hand = 2
                steps.dog.begin(9.0)

            yield steps.dog.look, go_on
            met.update(f"interrupted {batch}" for batch in steps.interrupted)

    at_every_opcode(Watchdog.__module__, trials())

    assert met == {"waited", "interrupted 1"}
