from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_cache.errors import BadEntity
from feature_cache.keys import key_maker, key_prefix
from tests.support.feature_views import make_view
from tests.support.unhurried import unhurried

VALUES = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "string": st.text(),
    "bytes": st.binary(),
    "timestamp": st.integers(-(2**63), 2**63 - 1),
}


@st.composite
def two_entities(draw: st.DrawFn) -> tuple[dict[str, str], list[object], list[object]]:
    types = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    first, second = ([draw(VALUES[kind]) for kind in types] for _ in range(2))
    return {f"e{place}": kind for place, kind in enumerate(types)}, first, second


@unhurried
@given(two_entities())
def test_two_entities_share_a_key_only_when_they_are_the_same(
    drawn: tuple[dict[str, str], list[object], list[object]],
) -> None:
    types, first, second = drawn
    key = key_maker(make_view(entities=types))

    assert (key(first) == key(second)) == (first == second)


def test_a_key_is_readable() -> None:
    view = make_view(entities={"id": "int64", "city": "string"})

    assert key_maker(view)((17, "Åre")) == key_prefix(view) + b"17,4:\xc3\x85re"
    assert key_prefix(view).startswith(b"features:driver:")


def test_another_type_of_a_feature_has_other_keys() -> None:
    assert key_prefix(make_view({"a": "int64"})) != key_prefix(make_view({"a": "float64"}))


def test_another_policy_has_the_same_keys() -> None:
    assert key_prefix(make_view()) == key_prefix(make_view(on_missing="null", freshness="1h"))


def test_a_prefix_that_would_be_a_hash_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="prefix: expected"):
        key_prefix(make_view(), "{a}")


@pytest.mark.parametrize(
    ("entity", "complaint"),
    [
        ((), 'view "driver": expected one value for each of id'),
        ((1, 2), "expected one value for each"),
        ("1", "expected one value for each"),
        (("1",), 'view "driver", entity "id": expected a whole number, got str'),
        ((True,), "expected a whole number, got bool"),
        ((1.0,), "expected a whole number, got float"),
        ((None,), "expected a whole number, got null"),
        ((2**63,), "expected a whole number of 64 bits"),
    ],
)
def test_an_entity_that_does_not_fit_is_refused_by_name(entity: tuple[object, ...], complaint: str) -> None:
    with pytest.raises(BadEntity, match=complaint):
        key_maker(make_view())(entity)
