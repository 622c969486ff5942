"""When a batch is interrupted, and when the process is killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from workers.watchdog import Watchdog


class Asleep(Exception):
    """It would wait until there is work."""


class Bed:
    """In place of the event that it sleeps on."""

    def wait(self) -> None:
        raise Asleep

    def set(self) -> None: ...

    def clear(self) -> None: ...


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.acts: list[str] = []
        self.dog = Watchdog(
            lambda: self.acts.append("interrupt"),
            lambda: self.now,
            0.25,
            kill=lambda: self.acts.append("kill"),
            pause=lambda _seconds: self.tick(),
        )
        self.ticks = 0
        self.then: dict[int, Callable[[], None]] = {}
        """What happens at which tick, counted from the first."""

    def tick(self) -> None:
        self.ticks += 1
        self.then.get(self.ticks, lambda: None)()

    def run_until_asleep(self) -> None:
        self.dog._work = cast(Any, Bed())
        with pytest.raises(Asleep):
            self.dog._run()

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


def test_without_work_it_sleeps_from_the_start() -> None:
    bench = Bench()
    bench.run_until_asleep()

    assert bench.ticks == 0


def test_it_stays_awake_for_a_while_after_the_last_work_that_it_saw() -> None:
    bench = Bench()
    bench.then[50] = bench.dog.end
    bench.dog.begin(1.0)
    bench.run_until_asleep()

    assert bench.ticks == 149


def test_it_looks_at_work_that_begins_while_it_is_awake() -> None:
    bench = Bench()

    def begin_and_hang() -> None:
        bench.dog.begin(2.0)
        bench.now = 2.0

    bench.then = {1: bench.dog.end, 90: begin_and_hang, 91: bench.dog.end}
    bench.dog.begin(1.0)
    bench.run_until_asleep()

    assert bench.acts == ["interrupt"]
