"""How often a model's warnings are told, on a clock that only moves when told."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from workers.warning_log import WarningLog


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.log = WarningLog("diamonds/blue/1", lambda: self.now)

    def tell(self, *messages: str, kind: str = "simpleWarning") -> list[dict[str, Any]]:
        with capture_logs() as events:
            self.log.tell([(message, kind) for message in messages])
        return [dict(event) for event in events]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_warning_names_the_deployment_the_message_and_its_class(bench: Bench) -> None:
    assert bench.tell("odd", kind="too_odd") == [
        {
            "event": "worker.model_warned",
            "log_level": "warning",
            "deployment": "diamonds/blue",
            "worker": "diamonds/blue/1",
            "message": "odd",
            "class": "too_odd",
        }
    ]


def test_the_same_message_is_told_once_a_minute(bench: Bench) -> None:
    told = 0
    for _ in range(180):
        told += len([event for event in bench.tell("odd") if event["event"] == "worker.model_warned"])
        bench.now += 1.0

    assert told == 3


def test_the_same_words_of_another_class_are_another_warning(bench: Bench) -> None:
    bench.tell("odd", kind="a")

    assert [event["class"] for event in bench.tell("odd", kind="b")] == ["b"]


def test_messages_that_never_repeat_are_bounded_too(bench: Bench) -> None:
    told = sum(len(bench.tell(f"row {i} is odd")) for i in range(1000))

    assert told == 20
    assert len(bench.log._told) == 20


def test_what_was_left_out_is_counted_with_the_next_warning_after_the_minute(bench: Bench) -> None:
    for i in range(25):
        bench.tell(f"row {i} is odd")
    bench.tell("row 0 is odd")
    bench.now += 60.0

    left_out, warned = bench.tell("row 0 is odd")

    assert (left_out["event"], left_out["count"]) == ("worker.model_warnings_left_out", 6)
    assert (left_out["deployment"], left_out["log_level"]) == ("diamonds/blue", "warning")
    assert warned["message"] == "row 0 is odd"


def test_nothing_is_said_of_a_minute_that_left_nothing_out(bench: Bench) -> None:
    bench.tell("odd")
    bench.now += 60.0

    assert [event["event"] for event in bench.tell("odder")] == ["worker.model_warned"]
