from __future__ import annotations

from feature_cache.circuit import Circuit, CircuitState


def circuit() -> Circuit:
    return Circuit(threshold=3, open_for=1.0, max_open=4.0)


def opened(now: float = 0.0) -> Circuit:
    c = circuit()
    for _ in range(3):
        c.failed(now)
    return c


def test_it_opens_at_the_failure_that_is_one_too_many() -> None:
    c = circuit()

    assert [c.failed(0.0), c.failed(0.0), c.is_closed, c.failed(0.0), c.is_closed] == [False, False, True, True, False]


def test_an_answer_forgives_the_failures_before_it() -> None:
    c = circuit()
    c.failed(0.0)
    c.failed(0.0)
    c.answered()

    assert not c.failed(0.0)


def test_late_answers_and_more_failures_do_not_move_an_open_one() -> None:
    c = opened()
    c.answered()
    c.failed(0.5)

    assert c.state is CircuitState.OPEN
    assert c.open_until == 1.0


def test_an_answered_probe_closes_it() -> None:
    c = opened()
    c.try_probe()

    assert c.state is CircuitState.HALF_OPEN

    c.probe_answered()

    assert c.is_closed
    assert not c.failed(2.0)


def test_each_unanswered_probe_keeps_it_open_for_twice_as_long() -> None:
    c, times = opened(), []
    for now in (10.0, 20.0, 30.0):
        c.try_probe()
        c.probe_failed(now)
        times.append(c.open_until - now)

    assert times == [2.0, 4.0, 4.0]


def test_once_closed_it_opens_for_the_least_time_again() -> None:
    c = opened()
    c.try_probe()
    c.probe_failed(1.0)
    c.try_probe()
    c.probe_answered()
    for _ in range(3):
        c.failed(10.0)

    assert c.open_until == 11.0
