from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.pool.pick import pick


@dataclass(frozen=True)
class Worker:
    process: str
    rows: int = 0
    places: int = 1
    is_open: bool = True

    @property
    def flight(self) -> Worker:
        return self


def test_the_fewest_rows_win() -> None:
    workers = [Worker("a", 5), Worker("b", 2), Worker("c", 3)]

    assert {pick(workers, turn) for turn in range(3)} == {workers[1]}


def test_equals_take_turns() -> None:
    workers = [Worker("a"), Worker("b"), Worker("c")]

    assert [worker.process for turn in range(4) if (worker := pick(workers, turn))] == ["a", "b", "c", "a"]


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


WORKERS = st.lists(
    st.builds(Worker, st.sampled_from("abc"), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=5
)


@given(workers=WORKERS, turn=st.integers(0, 10), avoid=st.sampled_from(["", "a", "b"]))
def test_the_choice_is_the_first_of_the_least_loaded_from_the_turn_on(
    workers: list[Worker], turn: int, avoid: str
) -> None:
    start = turn % len(workers) if workers else 0
    in_turn = [worker for worker in workers[start:] + workers[:start] if worker.is_open]
    wanted = min(in_turn, key=lambda each: (each.process == avoid, not each.places, each.rows), default=None)

    assert pick(workers, turn, avoid) is wanted
