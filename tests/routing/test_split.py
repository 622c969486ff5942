"""Weights are kept, keys stay where they are, and only those move that must."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.split import Split, by_key

REQUESTS = 100_000
WEIGHTS = [{"blue": 90, "green": 10}, {"a": 1, "b": 99}, {"a": 34, "b": 33, "c": 33}, {"a": 5, "b": 0, "c": 95}]
_CHI_SQUARE = {1: 19.5, 2: 23.0}
"""Degrees of freedom → what a true split exceeds once in a hundred thousand times."""


def chi_square(counts: Counter[str], weights: dict[str, int]) -> tuple[float, float]:
    """The statistic and its limit."""
    wanted = {name: REQUESTS * weight / 100 for name, weight in weights.items() if weight}
    return sum((counts[name] - n) ** 2 / n for name, n in wanted.items()), _CHI_SQUARE[len(wanted) - 1]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_hundred_thousand_random_requests_fall_as_the_weights_say(weights: dict[str, int]) -> None:
    split, draw = Split("e", weights), random.Random(6).random
    statistic, limit = chi_square(Counter(split.at(draw()) for _ in range(REQUESTS)), weights)

    assert statistic < limit


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_hundred_thousand_keys_fall_as_the_weights_say(weights: dict[str, int]) -> None:
    split = Split("e", weights)
    statistic, limit = chi_square(Counter(split.of(b"customer-%d" % i) for i in range(REQUESTS)), weights)

    assert statistic < limit


def test_a_deployment_without_weight_gets_nothing() -> None:
    split = Split("e", {"a": 5, "b": 0, "c": 95})

    assert "b" not in {split.of(b"%d" % i) for i in range(1000)} | {split.at(i / 1000) for i in range(1000)}


def test_a_tenth_of_the_keys_moves_from_90_10_to_80_20_and_none_back() -> None:
    before, after = Split("e", {"blue": 90, "green": 10}), Split("e", {"blue": 80, "green": 20})
    moves = Counter((before.of(key), after.of(key)) for key in (b"%d" % i for i in range(REQUESTS)))

    assert moves["green", "blue"] == 0
    assert abs(moves["blue", "green"] - REQUESTS / 10) < 500


def test_keys_are_where_they_were_in_every_version_and_process() -> None:
    split = Split("diamond-price", {"blue": 50, "green": 50})

    assert "".join(split.of(b"%d" % i)[0] for i in range(32)) == "bbbgbgbbbbbggggbbbbbgggbggbgggbg"


def test_two_endpoints_do_not_have_the_same_keys_in_their_tenth() -> None:
    one, other = Split("one", {"blue": 90, "green": 10}), Split("other", {"blue": 90, "green": 10})
    both = sum(one.of(b"%d" % i) == other.of(b"%d" % i) == "green" for i in range(10_000))

    assert 50 < both < 150


_PERCENT = st.integers(0, 100)


@st.composite
def _weights(draw: st.DrawFn) -> dict[str, int]:
    cuts = sorted(draw(st.lists(_PERCENT, min_size=1, max_size=4)))
    return {f"d{i}": high - low for i, (low, high) in enumerate(pairwise([0, *cuts, 100]))}


@given(_weights(), _weights(), st.binary(max_size=16))
def test_a_key_moves_only_to_where_the_share_has_grown_against_the_one_it_leaves(
    old: dict[str, int], new: dict[str, int], key: bytes
) -> None:
    left, taken = Split("e", old).of(key), Split("e", new).of(key)

    # new[taken] / old[taken] > new[left] / old[left], without dividing by 0
    assert left == taken or new[taken] * old[left] > new.get(left, 0) * old.get(taken, 0)


@given(_weights(), st.binary(max_size=16), st.randoms())
def test_the_order_of_the_file_does_not_matter_to_a_key(
    weights: dict[str, int], key: bytes, rng: random.Random
) -> None:
    shuffled = list(weights.items())
    rng.shuffle(shuffled)

    assert Split("e", weights).of(key) == Split("e", dict(shuffled)).of(key)


@pytest.mark.parametrize("value", [17, 17.0, "17", b"17"])
def test_a_key_is_the_same_in_every_form(value: object) -> None:
    assert by_key(value) == b"17"


def test_a_key_of_letters_that_are_none_is_a_key() -> None:
    assert by_key("\ud800") != by_key("\ud801")
