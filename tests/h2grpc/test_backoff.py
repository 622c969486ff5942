"""Delays before connecting again."""

from __future__ import annotations

import pytest

from h2grpc.backoff import Backoff


def test_delays_grow_up_to_the_limit() -> None:
    backoff = Backoff(1.0, 3.0, lambda: 0.5)

    assert [backoff.delay() for _ in range(5)] == [1.0, 1.6, pytest.approx(2.56), 3.0, 3.0]


def test_a_connection_makes_the_next_delay_the_first_again() -> None:
    backoff = Backoff(1.0, 3.0, lambda: 0.5)
    backoff.delay()
    backoff.reset()

    assert backoff.delay() == 1.0


def test_clients_do_not_return_together() -> None:
    early, late = Backoff(1.0, 3.0, lambda: 0.0).delay(), Backoff(1.0, 3.0, lambda: 1.0).delay()

    assert [early, late] == pytest.approx([0.8, 1.2])
