from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch.wait import HEADROOM, WaitForecast


def busy(rows: int, seconds: float, times: int = 60) -> WaitForecast:
    """Batches of ``rows`` every ``seconds``, each under way for twice that, with a line in front all the time."""
    forecast = WaitForecast()
    for i in range(times):
        forecast.completed(rows, sent=(i - 2) * seconds, now=i * seconds, is_line=True)
    return forecast


def test_nothing_is_predicted_before_anything_was_measured() -> None:
    forecast = WaitForecast()

    assert (forecast.rate, forecast.wait(1000), forecast.excess(1000, 0.001)) == (None, 0.0, 0.0)


def test_the_rate_is_that_of_completions_with_a_line() -> None:
    assert busy(32, 0.01).rate == pytest.approx(3200)


def test_completions_without_a_line_say_nothing_about_the_rate() -> None:
    forecast = WaitForecast()
    for i in range(10):
        forecast.completed(1, sent=float(i), now=i + 0.001, is_line=False)

    assert forecast.rate is None


def test_answers_without_rows_say_nothing_about_the_rate() -> None:
    forecast = busy(0, 0.01)

    assert (forecast.rate, forecast.comfort(40), forecast.wait(40)) == (None, 0.0, 0.0)


def test_the_wait_grows_with_the_rows_ahead() -> None:
    assert busy(32, 0.01).wait(3200) == pytest.approx((1.0 + 0.02) * HEADROOM)


def test_a_caller_whose_time_suffices_is_let_in_and_one_whose_does_not_is_not() -> None:
    forecast = busy(32, 0.01)
    wait = forecast.wait(3200)

    assert forecast.excess(3200, wait + 0.01) < 0 < forecast.excess(3200, wait - 0.01)


def test_who_has_no_time_at_all_finds_the_whole_line_too_long() -> None:
    forecast = busy(32, 0.01)

    assert [forecast.excess(3200, left) for left in (0.0, -1.0)] == [3200, 3200]


def test_retry_after_is_the_time_that_the_excess_takes() -> None:
    assert busy(32, 0.01).retry_after(1600) == pytest.approx(0.5)


def test_an_outage_does_not_count_as_a_slow_completion() -> None:
    forecast = busy(32, 0.01)
    forecast.interrupted()
    forecast.completed(32, sent=60.0, now=60.02, is_line=True)

    assert forecast.rate == pytest.approx(3200)


def test_one_long_pause_hardly_changes_what_a_batch_is_expected_to_take() -> None:
    forecast = busy(32, 0.01)
    forecast.completed(32, sent=1.0, now=3.0, is_line=True)

    assert 0.02 < forecast.batch < 0.025


def test_a_model_that_became_slow_is_believed_after_a_while() -> None:
    forecast = busy(32, 0.01)
    for i in range(60):
        forecast.completed(32, sent=float(i), now=i + 1.0, is_line=True)

    assert forecast.batch == pytest.approx(1.0, rel=0.05)


def test_a_rate_that_became_faster_is_noticed_even_without_a_line() -> None:
    forecast = busy(1, 10.0)
    forecast.interrupted()
    for i in range(60):
        forecast.completed(10, sent=1000.0 + i, now=1000.0 + i + 0.01, is_line=False)

    assert forecast.rate is not None
    assert forecast.rate > 300


@given(
    batches=st.lists(st.tuples(st.integers(1, 64), st.floats(1e-6, 10), st.sampled_from([True, True, False]))),
    most=st.integers(0, 10_000),
    share=st.floats(0, 1),
    more=st.floats(0, 10),
)
def test_who_has_time_enough_for_the_longest_line_is_never_one_too_many(
    batches: list[tuple[int, float, bool]], most: int, share: float, more: float
) -> None:
    forecast = WaitForecast()
    now = 0.0
    for rows, seconds, is_line in batches:
        now += seconds
        forecast.completed(rows, now - seconds, now, is_line)

    assert forecast.excess(most, forecast.comfort(most)) <= 0
    assert forecast.excess(int(share * most), forecast.comfort(most) + more) <= 0
