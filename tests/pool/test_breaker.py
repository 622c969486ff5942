from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.pool.breaker import Breaker

T0 = 100.0


def opened() -> Breaker:
    breaker = Breaker(2, open_for=1.0, max_open=3.0)
    breaker.failed(T0)
    breaker.failed(T0)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(2, open_for=1.0, max_open=3.0)
    first = breaker.failed(T0)

    assert (first, breaker.failed(T0)) == (False, True)
    assert breaker.batches(T0, 4) == 0


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = Breaker(2, open_for=1.0, max_open=3.0)
    breaker.failed(T0)
    breaker.succeeded()
    breaker.failed(T0)

    assert breaker.batches(T0, 4) == 4


def test_after_its_time_one_batch_may_try() -> None:
    breaker = opened()

    assert (breaker.batches(T0 + 0.99, 4), breaker.batches(T0 + 1.0, 4)) == (0, 1)


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.batches(T0 + 1.0, 4)
    breaker.succeeded()

    assert breaker.batches(T0 + 1.0, 4) == 4


def test_a_late_answer_does_not_close_an_open_breaker() -> None:
    breaker = opened()
    breaker.succeeded()

    assert breaker.batches(T0 + 0.5, 4) == 0


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    breaker = opened()
    now = T0
    spans = []
    for _ in range(4):
        spans.append(breaker.open_until - now)
        now = breaker.open_until
        breaker.batches(now, 4)
        breaker.failed(now)

    assert spans == [1.0, 2.0, 3.0, 3.0]


def test_a_failure_while_open_does_not_prolong_it() -> None:
    breaker = opened()
    breaker.failed(T0 + 0.5)

    assert breaker.open_until == T0 + 1.0


@given(st.lists(st.one_of(st.just("failed"), st.just("succeeded"), st.floats(0, 2)), max_size=30))
def test_while_it_is_calm_a_success_makes_no_difference(events: list[str | float]) -> None:
    breaker, now = Breaker(2, open_for=1.0, max_open=3.0), T0
    for event in events:
        if event == "failed":
            breaker.failed(now)
        elif event == "succeeded":
            breaker.succeeded()
        elif isinstance(event, float):
            now += event
            breaker.batches(now, 4)
        if breaker.is_calm:
            before = (breaker.state, breaker._failures, breaker._open_for, breaker.is_calm)
            breaker.succeeded()

            assert (breaker.state, breaker._failures, breaker._open_for, breaker.is_calm) == before


def test_it_is_calm_again_after_a_success() -> None:
    breaker = Breaker(2, open_for=1.0, max_open=3.0)
    breaker.failed(T0)
    before = breaker.is_calm
    breaker.succeeded()

    assert (before, breaker.is_calm) == (False, True)
