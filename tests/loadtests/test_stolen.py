"""What the host took of the cores, and which requests were under way meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from loadtests.bench.stolen import LATE, StolenTime


def stolen(ticks: Sequence[int]) -> StolenTime:
    """Looks at 0 s, 1 s, 2 s …; each finds so many ticks of the first core, and always the same of another."""
    looks = iter([f"cpu0 0 0 0 0 0 0 0 {found} 0 0\ncpu1 0 0 0 0 0 0 0 {n} 0 0\n" for n, found in enumerate(ticks)])
    over = iter([False] * (len(ticks) - 1) + [True])
    seconds: Iterator[float] = iter(range(len(ticks)))
    found = StolenTime([0])
    found.look(lambda: next(looks), lambda: next(over), lambda: next(seconds))
    return found


@pytest.mark.parametrize(("start", "end"), [(2.5, 2.6), (1.0, 2.1), (2.9, 5.0), (1.0, 5.0), (3.0, 3.5)])
def test_a_request_that_was_under_way_between_the_two_looks_met_it(start: float, end: float) -> None:
    assert stolen([7, 7, 7, 8, 8, 8]).met(start, end)


@pytest.mark.parametrize(("start", "end"), [(0.1, 1.9), (3.1, 4.9), (6.0, 7.0)])
def test_a_request_before_or_after_them_did_not(start: float, end: float) -> None:
    assert not stolen([7, 7, 7, 8, 8, 8]).met(start, end)


def test_what_the_kernel_tells_a_moment_late_is_met_too() -> None:
    found = stolen([7, 7, 7, 8])

    assert found.met(1.0, 2.0 - LATE / 2)
    assert not found.met(1.0, 2.0 - LATE * 2)


def test_what_was_stolen_before_the_first_look_is_nobody_s_business() -> None:
    assert not stolen([7, 7]).met(0.0, 9.0)


def test_what_is_stolen_of_other_cores_is_not_seen() -> None:
    assert not stolen([0, 0, 0]).met(0.0, 9.0)
