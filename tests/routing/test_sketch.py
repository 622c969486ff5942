"""Quantiles from a bounded number of buckets, near enough, and the same when they come from several processes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from gateway.routing.sketch import Sketch

VALUES = np.random.default_rng(6).normal(3.0, 40.0, 20_000)


def sketch(*parts: np.ndarray) -> Sketch:
    whole = Sketch()
    for part in parts:
        whole.add(part)
    return whole


@pytest.mark.parametrize("q", [0.01, 0.25, 0.5, 0.75, 0.99])
def test_a_quantile_is_right_to_two_percent(q: float) -> None:
    right = float(np.quantile(VALUES, q, method="lower"))

    assert sketch(VALUES).quantile(q) == pytest.approx(right, rel=0.021)


def test_two_halves_make_the_whole() -> None:
    halves = sketch(VALUES[:5000])
    halves.merge(sketch(VALUES[5000:]))

    assert halves == sketch(VALUES)


def test_it_survives_the_wire() -> None:
    assert msgspec.json.decode(msgspec.json.encode(sketch(VALUES)), type=Sketch) == sketch(VALUES)


def test_a_million_scales_take_a_bounded_number_of_buckets() -> None:
    spread = sketch(np.logspace(-300, 300, 50_000), -np.logspace(-300, 300, 50_000))

    assert len(spread.above) + len(spread.below) < 4000
    assert spread.count == 100_000


def test_what_differs_by_nothing_is_zero_and_the_infinite_is_the_largest() -> None:
    found = sketch(np.array([0.0, 0.0, 0.0, -np.inf, np.inf]))

    assert (found.quantile(0.5), found.zeros, found.count) == (0.0, 3, 5)


def test_of_nothing_there_is_no_quantile() -> None:
    assert Sketch().quantile(0.5) is None


def test_bars_hold_everything_once() -> None:
    assert sum(height for _, height in sketch(VALUES, np.zeros(7)).bars(20)) == 20_007
    assert sketch(np.zeros(7)).bars(20) == [(0.0, 7)]
