from __future__ import annotations

from gateway.pool.backoff import Backoff


def test_it_doubles_up_to_the_most() -> None:
    backoff = Backoff(0.1, 0.5, lambda: 0.0)

    assert [backoff.delay() for _ in range(4)] == [0.1, 0.2, 0.4, 0.5]


def test_jitter_takes_up_to_a_half() -> None:
    assert Backoff(0.1, 0.5, lambda: 1.0).delay() == 0.05


def test_success_starts_it_again() -> None:
    backoff = Backoff(0.1, 0.5, lambda: 0.0)
    backoff.delay()
    backoff.delay()
    backoff.reset()

    assert backoff.delay() == 0.1
