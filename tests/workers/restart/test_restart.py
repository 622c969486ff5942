"""The waits before a dead worker starts again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.restart import OVERRUN, RECYCLE, Backoff


def test_the_first_death_is_answered_at_once() -> None:
    assert Backoff(lambda: 0.5).died(-9, lived=0.01) == 0.0


def test_waits_double_while_it_keeps_dying_young() -> None:
    backoff = Backoff(lambda: 1.0, first=0.1)

    assert [round(backoff.died(-11, lived=0.1), 3) for _ in range(5)] == [0.0, 0.1, 0.2, 0.4, 0.8]


def test_a_worker_that_had_settled_starts_over_at_once() -> None:
    backoff = Backoff(lambda: 1.0, settled=30.0)
    for _ in range(4):
        backoff.died(-11, lived=0.1)

    assert backoff.died(-11, lived=30.0) == 0.0
    assert backoff.young_deaths == 1


def test_a_recycled_worker_never_waits_and_is_not_counted() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.died(-11, lived=0.1)

    assert backoff.died(RECYCLE, lived=1.0) == 0.0
    assert backoff.young_deaths == 1


def test_a_limit_that_no_worker_can_keep_does_not_make_a_busy_loop() -> None:
    backoff = Backoff(lambda: 1.0, first=0.1)

    assert [backoff.died(RECYCLE, lived=0.1) for _ in range(3)] == [0.0, 0.1, 0.2]


def test_a_worker_that_ended_with_a_batch_over_its_time_never_waits_however_often_and_is_not_counted() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.died(-11, lived=0.1)

    assert [backoff.died(OVERRUN, lived=0.3) for _ in range(5)] == [0.0] * 5
    assert backoff.young_deaths == 1


def test_jitter_takes_away_up_to_half_of_the_wait() -> None:
    backoff = Backoff(lambda: 0.0, first=0.1)
    backoff.died(-11, lived=0.0)

    assert backoff.died(-11, lived=0.0) == 0.05


@given(st.lists(st.tuples(st.integers(-15, 255), st.floats(0, 29)), max_size=200), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_ever_longer_than_the_limit(deaths: list[tuple[int, float]], random: float) -> None:
    backoff = Backoff(lambda: random, limit=10.0)

    assert all(0.0 <= backoff.died(status, lived) <= 10.0 for status, lived in deaths)
