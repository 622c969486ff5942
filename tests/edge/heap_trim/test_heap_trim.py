"""When the heap is trimmed, and that it is never for more than a small part of the time."""

from __future__ import annotations

import sys

import pytest

from gateway.edge.heap_trim import HeapTrim, malloc_trim


class Trimming:
    """Takes a millisecond each time."""

    def __init__(self) -> None:
        self.now, self.times = 100.0, 0

    def __call__(self) -> None:
        self.times += 1
        self.now += 0.001

    def after(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def trimming() -> Trimming:
    return Trimming()


@pytest.fixture
def heap(trimming: Trimming) -> HeapTrim:
    return HeapTrim(trimming, lambda: trimming.now)


def test_the_first_connection_trims(heap: HeapTrim, trimming: Trimming) -> None:
    heap()

    assert trimming.times == 1


def test_a_trim_that_took_long_is_followed_by_a_rest_of_fifty_times_as_long(heap: HeapTrim, trimming: Trimming) -> None:
    heap()
    trimming.after(0.049)
    heap()
    before = trimming.times
    trimming.after(0.002)
    heap()

    assert (before, trimming.times) == (1, 2)


def test_without_such_a_function_the_clock_is_not_even_looked_at() -> None:
    looked: list[float] = []

    def clock() -> float:
        looked.append(0.0)
        return 0.0

    HeapTrim(None, clock)()

    assert looked == []


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_the_c_library_s_function_can_be_called() -> None:
    trim = malloc_trim()
    assert trim is not None

    assert trim() in (0, 1)
