"""The table of deadlines."""

from __future__ import annotations

from h2grpc.deadlines import Deadlines


def test_what_expires_comes_out_in_the_order_of_time() -> None:
    table = Deadlines()
    for stream, at in ((1, 3.0), (3, 1.0), (5, 2.0), (7, 9.0)):
        table.add(stream, at)

    assert table.next == 1.0
    assert table.due(3.0) == [3, 5, 1]
    assert table.next == 9.0


def test_what_was_taken_out_does_not_expire() -> None:
    table = Deadlines()
    table.add(1, 1.0)
    table.add(3, 2.0)
    table.discard(1)

    assert table.next == 2.0
    assert table.due(5.0) == [3]
    assert table.next is None


def test_calls_that_ended_in_time_leave_nothing_to_speak_of() -> None:
    table = Deadlines()
    for stream in range(100_000):
        table.add(stream, 1e6)
        table.discard(stream)

    assert len(table) == 0
    assert len(table._heap) < 200
