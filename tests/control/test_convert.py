"""The key at which a mapping went wrong is found, in however large a one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.control.convert import WrongValue, convert


class Item(msgspec.Struct):
    """Counts how often one was made."""

    size: int = 0

    def __post_init__(self) -> None:
        Made.count += 1


class Made:
    count = 0


class Both(msgspec.Struct):
    before: dict[str, Item]
    after: dict[str, dict[str, Item]]


def keys_of(data: Any) -> list[str]:
    with pytest.raises(WrongValue) as wrong:
        convert(data, Both)
    return wrong.value.keys


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_the_first_key_that_is_wrong_is_named_wherever_it_is(place: int) -> None:
    inner: dict[str, Any] = {f"i{number}": {"size": 1 if number < place else "wrong"} for number in range(5)}

    assert keys_of({"before": {}, "after": {"fine": {}, "not": inner, "nor": {"x": 1}}}) == [
        "after",
        "not",
        f"i{place}",
        "size",
    ]


def test_to_find_it_takes_a_few_tries_for_each_doubling_of_the_mapping() -> None:
    Made.count = 0
    many: dict[str, Any] = {f"i{number}": {} for number in range(256)}

    assert keys_of({"before": many, "after": {**{name: {} for name in many}, "not": 1}}) == ["after", "not"]
    assert Made.count <= 16 * len(many)
