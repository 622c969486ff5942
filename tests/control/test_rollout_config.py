"""What may be written about splitting and mirroring, and what is refused with words that say why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.control.endpoints import EndpointConfig

BASE = {
    "name": "e",
    "deployments": {"blue": {"model": "a"}, "green": {"model": "b"}, "next": {"model": "c"}},
    "traffic": {"blue": 90, "green": 10},
}


def read(**more: Any) -> EndpointConfig:
    return msgspec.convert({**BASE, **more}, EndpointConfig, dec_hook=lambda kind, value: kind(value))


def test_any_number_of_shadows_may_have_any_percentage() -> None:
    endpoint = read(traffic={"blue": 100}, mirror_traffic={"green": 100, "next": 0})

    assert endpoint.shadows == {"green": 100}


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"mirror_traffic": {"old": 10}}, 'mirror_traffic: "old" is not one of the deployments blue, green, next'),
        ({"mirror_traffic": {"next": 101}}, "mirror_traffic: expected 0 to 100 for next, got 101"),
        ({"mirror_traffic": {"green": 5}}, "mirror_traffic: green has traffic of its own, expected one or the other"),
        ({"mirror_max_rows": 0}, "mirror_max_rows: expected 1 to 10000000, got 0"),
        ({"sticky": {}}, "sticky: expected one of header, column and principal: true"),
        ({"sticky": {"header": "a", "column": "b"}}, "sticky: expected one of header, column and principal: true"),
        ({"sticky": {"header": "X-Customer"}}, 'sticky.header: expected the name of a header in lower case, got "X-Cu'),
        ({"sticky": {"header": "authorization"}}, "sticky.header: expected the name of a header"),
        ({"sticky": {"column": ""}}, "sticky.column: expected the name of a column"),
        ({"compare": {"absolute": -1}}, "compare.absolute: expected 0 or more, got -1"),
        ({"compare": {"replay_percent": 101}}, "compare.replay_percent: expected 0 to 100, got 101"),
        ({"compare": {"worst_rows": 1001}}, "compare.worst_rows: expected 0 to 1000, got 1001"),
        ({"traffic": {"blue": 90, "green": 7}}, "traffic: expected a sum of 100, or 0, got 97"),
    ],
)
def test_what_cannot_be_is_refused_by_name(more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refusal:
        read(**more)

    assert str(refusal.value).startswith(complaint)


def test_inputs_are_not_kept_unless_somebody_says_so() -> None:
    assert not read().compare.keep_inputs
