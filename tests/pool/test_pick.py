from __future__ import annotations

from dataclasses import dataclass

from gateway.pool.pick import pick


@dataclass(frozen=True)
class Worker:
    address: str
    rows: int = 0
    places: int = 1
    is_open: bool = True

    @property
    def room(self) -> Worker:
        return self

    @property
    def flight(self) -> Worker:
        return self


def test_the_fewest_rows_win() -> None:
    workers = [Worker("a", 5), Worker("b", 2), Worker("c", 3)]

    assert {pick(workers, turn) for turn in range(3)} == {workers[1]}


def test_equals_take_turns() -> None:
    workers = [Worker("a"), Worker("b"), Worker("c")]

    assert [worker.address for turn in range(4) if (worker := pick(workers, turn))] == ["a", "b", "c", "a"]


def test_a_worker_that_takes_nothing_is_skipped() -> None:
    assert pick([Worker("a", is_open=False), Worker("b", 9)], 0) == Worker("b", 9)


def test_a_place_counts_more_than_few_rows() -> None:
    assert pick([Worker("a", 1, places=0), Worker("b", 50)], 0) == Worker("b", 50)


def test_when_all_places_are_taken_the_least_loaded_gets_more() -> None:
    assert pick([Worker("a", 9, places=0), Worker("b", 3, places=-1)], 0) == Worker("b", 3, places=-1)


def test_the_avoided_one_comes_last_even_when_idle() -> None:
    assert pick([Worker("a"), Worker("b", 9, places=0)], 0, avoid="a") == Worker("b", 9, places=0)


def test_the_avoided_one_is_taken_when_alone() -> None:
    assert pick([Worker("a"), Worker("b", is_open=False)], 0, avoid="a") == Worker("a")


def test_nobody_to_pick_is_none() -> None:
    assert pick([Worker("a", is_open=False)], 0) is None
