"""When a batch is interrupted, and when the process is killed."""

from __future__ import annotations

from workers.watchdog import Watchdog


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.acts: list[str] = []
        self.dog = Watchdog(
            lambda: self.acts.append("interrupt"), lambda: self.now, 0.25, kill=lambda: self.acts.append("kill")
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
