from __future__ import annotations

from gateway.dispatch.limit import RowLimit


def test_without_a_goal_it_stays_at_the_most() -> None:
    limit = RowLimit(32)
    limit.observe(32, sent=0.0, now=99.0)

    assert limit.rows == 32


def test_a_slow_batch_takes_a_tenth_off() -> None:
    limit = RowLimit(100, goal=0.01)
    limit.observe(100, sent=0.0, now=0.02)

    assert limit.rows == 90


def test_a_full_batch_within_the_goal_adds_one() -> None:
    limit = RowLimit(100, goal=0.01)
    limit.observe(100, sent=0.0, now=0.02)
    limit.observe(90, sent=0.02, now=0.025)

    assert limit.rows == 91


def test_a_batch_that_was_not_full_shows_nothing() -> None:
    limit = RowLimit(100, goal=0.01)
    limit.observe(100, sent=0.0, now=0.02)
    limit.observe(10, sent=0.02, now=0.025)

    assert limit.rows == 90


def test_batches_that_left_before_a_decrease_do_not_decrease_again() -> None:
    limit = RowLimit(100, goal=0.01)
    limit.observe(100, sent=0.0, now=0.02)
    limit.observe(100, sent=0.01, now=0.03)

    assert limit.rows == 90


def test_it_never_falls_below_one_row() -> None:
    limit = RowLimit(4, goal=0.01)
    for i in range(50):
        limit.observe(limit.rows, sent=float(i), now=i + 0.5)

    assert limit.rows == 1


def test_it_settles_near_the_largest_batch_that_keeps_the_goal() -> None:
    limit = RowLimit(128, goal=0.010)
    now = 0.0
    for _ in range(500):
        took = 0.002 + 0.0002 * limit.rows  # reaches the goal at 40 rows
        limit.observe(limit.rows, now, now + took)
        now += took

    assert 34 <= limit.rows <= 41
