from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from feature_cache.schema import Feature, FeatureView

DRIVER = """
name: driver
entities: [{name: driver_id, type: int64}]
freshness: 24h
on_missing: default
features:
  - {name: rating, type: float64, default: 4.5, freshness: 90s, on_stale: stale_ok}
  - {name: tags, type: "list[string]", default: [new]}
  - {name: since, type: timestamp, default: 2024-01-01T00:00:00Z, on_missing: "null"}
"""


def view(text: str = DRIVER) -> FeatureView:
    return msgspec.convert(yaml.safe_load(text), FeatureView)


def test_a_feature_takes_from_the_view_what_it_leaves_open() -> None:
    rating, tags, since = view().features

    assert [view().freshness_of(each) for each in (rating, tags, since)] == [90.0, 86400.0, 86400.0]
    assert [view().on_missing_of(each) for each in (rating, tags, since)] == ["default", "default", "null"]
    assert [view().on_stale_of(each) for each in (rating, tags, since)] == ["stale_ok", "fail", "fail"]


def test_a_default_is_held_as_its_type_holds_it() -> None:
    assert view().features[2].default_value == 1_704_067_200_000_000


def test_a_feature_is_found_by_its_place() -> None:
    assert view().positions == {"rating": 0, "tags": 1, "since": 2}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "9 lives"}, "name: expected a letter"),
        ({"entities": []}, "entities: expected at least one"),
        ({"entities": [{"name": "id", "type": "float64"}]}, "type: expected one of int64"),
        ({"features": []}, "features: expected at least one"),
        ({"features": [{"name": "a", "type": "decimal"}]}, "type: expected one of"),
        ({"features": [{"name": "a", "type": "int64"}, {"name": "a", "type": "bool"}]}, "expected each name once, a"),
        ({"features": [{"name": "driver_id", "type": "int64"}]}, "expected each name once, driver_id"),
        ({"features": [{"name": "a", "type": "int64", "default": 1.5}]}, "default: expected a whole number"),
        ({"features": [{"name": "a", "type": "int64"}]}, "a: expected a default"),
        (
            {"features": [{"name": "a", "type": "int64", "freshness": "soon", "default": 1}]},
            "freshness: expected a length",
        ),
        ({"features": [{"name": "a", "type": "int64", "on_missing": "stale_ok"}]}, "Invalid enum value 'stale_ok'"),
        ({"freshness": 0}, "freshness: expected a length of time"),
        ({"format": "feast"}, "feast: expected with format: feast"),
        ({"feast": {"project": "p", "view": "v"}}, "feast: expected with format: feast"),
        ({"tll": 5}, "unknown field `tll`"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint.replace("[", r"\[")):
        msgspec.convert(yaml.safe_load(DRIVER) | change, FeatureView)


def test_a_default_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="default: expected a time with a time zone"):
        Feature(name="since", type="timestamp", default="2024-01-01T00:00:00")
