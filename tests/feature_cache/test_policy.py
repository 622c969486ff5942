from __future__ import annotations

from typing import Any

import pytest

from feature_cache.errors import CorruptValue, MissingFeature, NotHeld, StaleFeature
from feature_cache.policy import FeatureStatus, Policy
from feature_cache.row import NOT_FOUND, Row, RowState
from feature_cache.schema import Feature
from tests.support.feature_views import make_view

PRESENT, STALE, DEFAULT, NULL = FeatureStatus
T = 1_000_000_000_000_000


def policy(**feature: Any) -> Policy:
    """A feature that is always fine, and one that is told about."""
    view = make_view({"x": "int64"})
    told = Feature(name="a", type="float64", default=0.5, **feature)
    return Policy(type(view)(name="driver", entities=view.entities, features=(view.features[0], told)))


def found(*values: object, missing: int = 0) -> Row:
    return Row(RowState.FOUND, values, T, missing)


def later(seconds: float) -> int:
    return T + int(seconds * 1_000_000)


def test_a_row_without_gaps_goes_through_untouched() -> None:
    row = found(1, 2.0)
    resolved = policy(freshness=60).resolve(row, later(60))

    assert resolved.values is row.values
    assert resolved.statuses == (PRESENT, PRESENT)


def test_null_is_a_value() -> None:
    assert policy(on_missing="fail").resolve(found(1, None), T).values == (1, None)


@pytest.mark.parametrize(("action", "value", "status"), [("default", 0.5, DEFAULT), ("null", None, NULL)])
def test_a_missing_value_is_replaced_as_the_view_says(action: str, value: object, status: FeatureStatus) -> None:
    resolved = policy(on_missing=action).resolve(found(1, None, missing=0b10), T)

    assert (resolved.values, resolved.statuses) == ((1, value), (PRESENT, status))


@pytest.mark.parametrize(
    ("action", "value", "status"), [("default", 0.5, DEFAULT), ("null", None, NULL), ("stale_ok", 2.0, STALE)]
)
def test_a_stale_value_is_replaced_as_the_view_says(action: str, value: object, status: FeatureStatus) -> None:
    resolved = policy(freshness=60, on_stale=action).resolve(found(1, 2.0), later(60.1))

    assert (resolved.values, resolved.statuses) == ((1, value), (PRESENT, status))
    assert resolved.stale == 1


def test_a_missing_value_fails_by_name() -> None:
    with pytest.raises(MissingFeature, match='view "driver", feature "a": this entity has no value of it'):
        policy().resolve(found(1, None, missing=0b10), T)


def test_a_stale_value_fails_by_name() -> None:
    with pytest.raises(
        StaleFeature, match='view "driver", feature "a": the stored value is older than the view allows'
    ):
        policy(freshness=60).resolve(found(1, 2.0), later(61))


def test_freshness_of_one_feature_says_nothing_about_another() -> None:
    assert policy(freshness=60, on_stale="null").resolve(found(1, 2.0), later(1e6)).statuses == (PRESENT, NULL)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (NOT_FOUND, "nothing is stored for this entity"),
        (Row(RowState.UNAVAILABLE, error="not connected"), "the feature store cannot be asked: not connected"),
    ],
)
def test_without_a_row_the_reason_is_told(row: Row, complaint: str) -> None:
    with pytest.raises(MissingFeature, match=complaint):
        policy().resolve(row, T)


@pytest.mark.parametrize("row", [NOT_FOUND, Row(RowState.UNAVAILABLE, error="not connected")])
def test_without_a_row_all_values_are_missing(row: Row) -> None:
    view = make_view({"x": "int64", "y": "string"}, on_missing="null")

    assert Policy(view).resolve(row, T).values == (None, None)


def test_a_corrupt_row_fails_whatever_the_policy_is() -> None:
    view = make_view(on_missing="null", on_stale="stale_ok")

    with pytest.raises(CorruptValue, match="checksum"):
        Policy(view).resolve(Row(RowState.CORRUPT, error="checksum does not match"), T)


def last_known(*values: object) -> Row:
    return Row(RowState.LAST_KNOWN, values, T, error="not connected")


def test_the_last_known_value_is_taken_where_it_may_be_stale() -> None:
    view = make_view(on_missing="fail", on_stale="stale_ok")
    resolved = Policy(view).resolve(last_known(2.0), T)

    assert (resolved.values, resolved.statuses, resolved.stale) == ((2.0,), (STALE,), 1)


def test_the_last_known_value_counts_as_missing_where_it_may_not_be_stale() -> None:
    view = make_view(on_missing="null", on_stale="fail")

    assert Policy(view).resolve(last_known(2.0), T).statuses == (NULL,)


def test_the_last_known_value_that_is_too_old_as_well_is_stale() -> None:
    view = make_view(on_missing="null", on_stale="fail", freshness=60)

    with pytest.raises(NotHeld, match="cannot be asked"):
        Policy(view).resolve(last_known(2.0), later(61))
