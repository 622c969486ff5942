"""How often something may happen."""

from __future__ import annotations

from h2grpc.bucket import Bucket


def test_as_often_as_it_holds_and_no_more() -> None:
    bucket = Bucket(3, 1)

    assert [bucket.take(5.0) for _ in range(4)] == [True, True, True, False]


def test_time_lets_it_happen_again() -> None:
    bucket = Bucket(2, 10)
    taken = [bucket.take(1.0), bucket.take(1.0), bucket.take(1.0), bucket.take(1.15), bucket.take(1.15)]

    assert taken == [True, True, False, True, False]


def test_it_never_holds_more_than_at_first() -> None:
    bucket = Bucket(2, 10)
    bucket.take(0.0)
    bucket.take(0.0)

    assert [bucket.take(1_000.0) for _ in range(3)] == [True, True, False]


def test_filling_makes_up_for_everything() -> None:
    bucket = Bucket(2, 0)
    bucket.take(0.0)
    bucket.take(0.0)
    bucket.fill()

    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
