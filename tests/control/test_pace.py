"""Long work in small pieces rests as long as it computes, once there is somebody who could be in need of the core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.control.pace import Pace


class Work:
    """A thread whose CPU time a test says, and its rests."""

    def __init__(self) -> None:
        self.used, self.rests = 0.0, list[float]()
        self.pace = Pace(used=lambda: self.used, rest=self.rests.append)

    def compute(self, *pieces: float) -> None:
        for seconds in pieces:
            self.used += seconds
            self.pace.step()


@pytest.fixture
def work() -> Work:
    work = Work()
    work.pace.begin()
    work.compute(0.0)  # whatever this thread has done before
    work.rests.clear()
    return work


def test_before_anything_serves_nobody_rests() -> None:
    work = Work()
    work.compute(1.0, 1.0)

    assert work.rests == []


def test_a_rest_is_as_long_as_what_was_computed_before_it(work: Work) -> None:
    work.compute(0.001, 0.002)

    assert work.rests == pytest.approx([0.001, 0.002])


def test_pieces_that_nobody_notices_are_done_in_one_go(work: Work) -> None:
    work.compute(*5 * [0.0001])

    assert work.rests == pytest.approx([0.0003])


def test_no_piece_makes_the_rest_longer_than_its_bound(work: Work) -> None:
    work.compute(5.0)

    assert work.rests == [0.01]


def test_each_thread_goes_by_its_own_time(work: Work) -> None:
    work.compute(0.001)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work.compute, 0.0).result()

    assert work.rests == pytest.approx([0.001, 0.001])
