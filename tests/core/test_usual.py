from __future__ import annotations

import pytest

from gateway.core.usual import OUTLIER, Usual


def of(*values: float) -> float:
    usual = Usual(0.2)
    for value in values:
        usual.learn(value)
    return usual.value


def test_nothing_is_usual_before_anything_was_learnt() -> None:
    assert of() == 0.0


def test_the_first_value_is_taken_as_it_is() -> None:
    assert of(7.0) == 7.0


def test_one_outlier_counts_for_a_few_times_the_average_at_most() -> None:
    assert of(1.0, 1000.0) == pytest.approx(1.0 + 0.2 * (OUTLIER - 1.0))


def test_a_lasting_change_is_believed() -> None:
    assert of(1.0, *[10.0] * 60) == pytest.approx(10.0, rel=0.01)
