from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.pool.pick import pick, pick_again


@dataclass(frozen=True)
class Worker:
    """Its address is the first letter of its process."""

    process: str
    rows: int = 0
    places: int = 1
    is_open: bool = True

    @property
    def flight(self) -> Worker:
        return self

    def ran(self, process: str) -> bool:
        return process[:1] == self.process[:1]


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
    assert pick_again([Worker("a"), Worker("b", 9, places=0)], 0, "a") == Worker("b", 9, places=0)


def test_the_avoided_one_is_taken_when_alone() -> None:
    assert pick_again([Worker("a"), Worker("b", is_open=False)], 0, "a") == Worker("a")


def test_another_address_comes_before_a_new_process_at_that_of_the_avoided_one_even_when_that_is_idle() -> None:
    assert pick_again([Worker("a2"), Worker("b", 9)], 0, "a1") == Worker("b", 9)


def test_a_new_process_at_the_address_of_the_avoided_one_is_taken_where_the_others_have_no_place() -> None:
    assert pick_again([Worker("b", places=0), Worker("a2")], 0, "a1") == Worker("a2")


def test_a_new_process_at_the_address_of_the_avoided_one_is_taken_when_alone() -> None:
    assert pick_again([Worker("b", is_open=False), Worker("a2", 9, places=0)], 0, "a1") == Worker("a2", 9, places=0)


def test_where_nobody_has_a_place_another_address_comes_first() -> None:
    assert pick_again([Worker("a2", places=0), Worker("b", 9, places=0)], 0, "a1") == Worker("b", 9, places=0)


def test_nobody_to_pick_is_none() -> None:
    assert pick([Worker("a", is_open=False)], 0) is pick_again([Worker("a", is_open=False)], 0, "a") is None


WORKERS = st.lists(
    st.builds(
        Worker, st.sampled_from(["a1", "a2", "b1", "b2", "c1"]), st.integers(0, 2), st.integers(0, 2), st.booleans()
    ),
    max_size=5,
)


@given(workers=WORKERS, turn=st.integers(0, 10))
def test_the_choice_is_the_first_of_the_least_loaded_from_the_turn_on(workers: list[Worker], turn: int) -> None:
    wanted = min(in_turn(workers, turn), key=lambda each: (not each.places, each.rows), default=None)

    assert pick(workers, turn) is wanted


@given(workers=WORKERS, turn=st.integers(0, 10))
def test_a_retry_without_anybody_to_avoid_is_like_any_other_batch(workers: list[Worker], turn: int) -> None:
    assert pick_again(workers, turn, "z1") is pick(workers, turn)


@given(workers=WORKERS, turn=st.integers(0, 10), avoid=st.sampled_from(["a1", "b1"]))
def test_a_retry_finds_a_worker_exactly_where_any_other_batch_does(
    workers: list[Worker], turn: int, avoid: str
) -> None:
    assert (pick_again(workers, turn, avoid) is None) == (pick(workers, turn) is None)


def in_turn(workers: list[Worker], turn: int) -> list[Worker]:
    start = turn % len(workers) if workers else 0
    return [worker for worker in workers[start:] + workers[:start] if worker.is_open]
