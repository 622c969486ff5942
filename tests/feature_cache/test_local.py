from __future__ import annotations

from typing import Any

from feature_cache.counters import Counters
from feature_cache.local import LocalCopy
from feature_cache.row import Row, RowState

ROW, OTHER = Row(RowState.FOUND, (1.0,)), Row(RowState.FOUND, (2.0,))


def copy(**limits: Any) -> LocalCopy:
    """One that is in use."""
    local = LocalCopy(
        **{"max_rows": 3, "max_bytes": 10**6, "ttl": 10.0, "last_known_for": 5.0, "counters": Counters(), **limits}
    )
    local.resume()
    return local


def put(local: LocalCopy, *keys: bytes, now: float = 0.0) -> None:
    for key in keys:
        local.put(key, ROW, 100, local.epoch, now)


def test_a_row_is_there_until_its_time_is_over() -> None:
    local = copy()
    put(local, b"a", now=0.0)

    assert local.get(b"a", 9.9) is ROW
    assert local.get(b"a", 10.0) is None
    assert len(local) == 0


def test_the_row_that_was_not_used_for_longest_leaves_first() -> None:
    local = copy()
    put(local, b"a", b"b", b"c")
    local.get(b"a", 0.0)
    put(local, b"d")

    assert [local.get(key, 0.0) is ROW for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]


def test_rows_leave_when_there_are_too_many_bytes() -> None:
    local = copy(max_rows=100, max_bytes=2 * 801)
    put(local, b"a", b"b", b"c")

    assert len(local) == 2
    assert local.held_bytes <= 2 * 801


def test_a_row_larger_than_everything_is_not_taken_in() -> None:
    local = copy(max_bytes=500)
    put(local, b"a")

    assert (len(local), local.held_bytes) == (0, 0)


def test_a_changed_key_is_gone_and_its_bytes_with_it() -> None:
    local = copy()
    put(local, b"a", b"b")
    size = local.held_bytes
    local.drop(b"a")
    local.drop(b"never there")

    assert local.get(b"a", 0.0) is None
    assert local.held_bytes == size / 2


def test_a_row_replaced_counts_once() -> None:
    local = copy()
    put(local, b"a")
    size = local.held_bytes
    put(local, b"a")

    assert local.held_bytes == size


def test_a_row_fetched_before_everything_changed_is_not_taken_in() -> None:
    local = copy()
    epoch = local.epoch
    local.drop_all()
    local.put(b"a", ROW, 100, epoch, 0.0)

    assert len(local) == 0


def test_nothing_is_used_or_taken_in_while_changes_are_not_told() -> None:
    local = copy()
    put(local, b"a")
    local.suspend(0.0)
    put(local, b"b")

    assert local.get(b"a", 0.0) is None
    assert local.get(b"b", 0.0) is None


def test_a_row_fetched_while_changes_were_not_told_is_not_taken_in_later() -> None:
    local = copy()
    local.suspend(0.0)
    epoch = local.epoch
    local.resume()
    local.put(b"a", ROW, 100, epoch, 0.0)

    assert len(local) == 0


def test_after_an_outage_the_copy_begins_empty() -> None:
    local = copy()
    put(local, b"a")
    local.suspend(0.0)
    local.resume()

    assert local.get(b"a", 0.0) is None
    assert local.last_known(b"a", 0.0) is None


def test_the_last_known_rows_are_there_for_a_while() -> None:
    local = copy()
    put(local, b"a")
    local.suspend(100.0)

    assert local.last_known(b"a", 104.9) is ROW
    assert local.last_known(b"a", 105.0) is None


def test_losing_the_store_twice_does_not_lose_what_was_known() -> None:
    local = copy()
    put(local, b"a")
    local.suspend(100.0)
    local.suspend(104.0)

    assert local.last_known(b"a", 104.9) is ROW
    assert local.last_known(b"a", 105.0) is None


def test_when_everything_changed_nothing_is_known_either() -> None:
    local = copy()
    put(local, b"a")
    local.suspend(0.0)
    local.drop_all()

    assert local.last_known(b"a", 0.0) is None


def test_drops_of_the_whole_and_evictions_are_counted() -> None:
    counters = Counters()
    local = copy(max_rows=1, counters=counters)
    put(local, b"a", b"b")
    local.drop_all()
    local.suspend(0.0)

    assert (counters.evictions, counters.flushes) == (1, 2)


def test_without_room_there_is_no_copy() -> None:
    local = copy(max_rows=0)
    put(local, b"a")

    assert len(local) == 0
