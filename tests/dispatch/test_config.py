from __future__ import annotations

import msgspec
import pytest

from gateway.dispatch.config import BatchConfig


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("max_rows", {"max_rows": 0}),
        ("max_queue_rows", {"max_rows": 64, "max_queue_rows": 63}),
        ("latency_goal_ms", {"latency_goal_ms": 0.0}),
        ("latency_goal_ms", {"latency_goal_ms": float("nan")}),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=name):
        BatchConfig(**settings)  # type: ignore[arg-type]


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="max_wait_ms"):
        msgspec.convert({"max_wait_ms": 2}, BatchConfig)
