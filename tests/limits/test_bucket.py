"""Over time exactly the rate gets through, in whatever pieces it is asked for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits.bucket import Bucket

T0 = 1000.0


def test_a_full_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    bucket = Bucket(10.0, 3.0, T0)
    for _ in range(3):
        assert bucket.wait(T0) == 0.0
        bucket.take(1.0)

    assert round(bucket.wait(T0), 6) == 0.1
    assert bucket.wait(T0 + 0.1) == 0.0


def test_a_debt_is_paid_before_anything_else_is_taken() -> None:
    bucket = Bucket(10.0, 10.0, T0)
    bucket.take(110.0)

    assert round(bucket.wait(T0), 6) == 10.1
    assert bucket.wait(T0 + 10) > 0
    assert bucket.wait(T0 + 10.1) == 0.0


def test_a_pause_fills_it_to_the_brim_and_not_beyond() -> None:
    bucket = Bucket(10.0, 5.0, T0)
    bucket.take(5.0)
    bucket.wait(T0 + 3600)

    assert bucket.level == 5.0


def test_a_slow_rate_still_lets_one_in() -> None:
    bucket = Bucket(0.01, 0.01, T0)

    assert bucket.wait(T0) == 0.0


def test_what_others_took_counts_and_what_was_taken_meanwhile_too() -> None:
    bucket = Bucket(10.0, 10.0, T0)
    bucket.take(2.0)
    bucket.taken = 0.0  # told to the others, whose answer is on its way
    bucket.take(1.0)
    bucket.agree(4.0, T0)

    assert bucket.level == 3.0


@settings(max_examples=200, deadline=None)
@given(
    rate=st.floats(0.1, 1000),
    burst=st.floats(1, 100),
    asks=st.lists(st.tuples(st.floats(0, 2), st.floats(1, 50)), min_size=1, max_size=60),
)
def test_no_more_gets_through_than_the_burst_the_rate_and_one_overdraft(
    rate: float, burst: float, asks: list[tuple[float, float]]
) -> None:
    bucket, now, through, largest = Bucket(rate, burst, T0), T0, 0.0, 0.0
    for pause, cost in asks:
        now += pause
        if bucket.wait(now) == 0.0:
            bucket.take(cost)
            through += cost
            largest = max(largest, cost)

    assert through <= burst + (now - T0) * rate + largest + 1e-6


@settings(max_examples=200, deadline=None)
@given(rate=st.floats(0.01, 10_000), debt=st.floats(0, 1e6), now=st.floats(0, 1e6))
def test_who_comes_back_when_told_to_gets_in(rate: float, debt: float, now: float) -> None:
    bucket = Bucket(rate, 1.0, now)
    bucket.take(debt)

    assert bucket.wait(now + bucket.wait(now)) <= 1e-6 / rate
