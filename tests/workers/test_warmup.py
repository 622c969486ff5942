"""Warming a model up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from workers.options import GroupOptions, WorkerOptions
from workers.runtimes.base import Batch, Loaded, LoadError, ModelError, Result, Runtime, Warned
from workers.schema import Column, Schema
from workers.warmup import load_warm, sizes, warm_up


class Model(Runtime):
    loads_before_fork = False

    def __init__(self, largest: int = 1000, warnings: Sequence[Sequence[Warned]] = ()) -> None:
        self.rows: list[int] = []
        self.rests = 0
        self._warnings = iter(warnings)
        self.last = b""
        self._largest = largest

    def load(self) -> Loaded:
        return loaded()

    def rest(self) -> None:
        self.rests += 1

    def score(self, batch: Batch) -> Result:
        self.rows.append(batch.rows)
        self.last = batch.records
        warnings = next(self._warnings, ())
        if batch.rows > self._largest:
            raise ModelError("too many", warnings=warnings)
        return Result(b"", warnings=warnings)


class Shared(Model):
    loads_before_fork = True


def group(max_rows: int) -> GroupOptions:
    worker = WorkerOptions(name="diamonds/blue/0", address="")
    return GroupOptions(model="m", workers=[worker], max_rows=max_rows)


def loaded(max_rows: int = 0, example: tuple[tuple[float, ...], ...] = (), *, may_make_up: bool = True) -> Loaded:
    schema = Schema(inputs=(Column(name="x", kind="float", datatype="FP32"),), outputs=(), example=example)
    return Loaded(schema=schema, platform="p", runtime="r", max_rows=max_rows, may_make_up=may_make_up)


@pytest.mark.parametrize(
    ("largest", "expected"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (32, [1, 2, 4, 8, 16, 32]), (5, [1, 2, 4, 5])]
)
def test_sizes_double_up_to_the_largest(largest: int, expected: list[int]) -> None:
    assert sizes(largest) == expected


def test_every_size_is_scored_and_one_row_twice() -> None:
    model = Model()
    warm_up(model, loaded(), group(8))

    assert model.rows == [1, 1, 2, 4, 8]


def test_the_models_own_limit_is_kept() -> None:
    model = Model()
    warm_up(model, loaded(max_rows=1), group(8))

    assert model.rows == [1, 1]


def test_neutral_rows_that_fail_are_an_event_and_no_error() -> None:
    with capture_logs() as events:
        warm_up(Model(largest=1), loaded(), group(8))

    assert [(event["event"], event["rows"]) for event in events] == [("worker.warm_up_failed", 2)]


def test_an_example_that_fails_is_an_error() -> None:
    with pytest.raises(LoadError, match=r"^m: the example cannot be scored \(2 rows at once\): too many$"):
        warm_up(Model(largest=1), loaded(example=((1.5,),)), group(8))


def test_a_model_that_takes_whole_requests_is_asked_none_that_was_made_up() -> None:
    model = Model()
    warm_up(model, loaded(max_rows=1, may_make_up=False), group(8))

    assert model.rows == []


def test_a_model_that_takes_whole_requests_is_asked_those_of_its_example() -> None:
    with pytest.raises(LoadError, match="the example cannot be scored"):
        warm_up(Model(largest=0), loaded(max_rows=1, example=((1.5,),), may_make_up=False), group(8))


def test_examples_beyond_the_largest_batch_are_scored_too() -> None:
    model = Model()
    warm_up(model, loaded(max_rows=2, example=((1.0,), (2.0,), (3.0,), (4.0,), (5.0,))), group(8))

    assert model.rows == [1, 1, 2, 2, 1]
    assert model.last == np.float32(5.0).tobytes()


def test_an_example_that_the_runtime_made_up_is_not_called_that_of_the_model() -> None:
    made_up = replace(loaded(example=((1.5,),)), has_made_up_example=True)
    with pytest.raises(LoadError) as told:
        warm_up(Model(largest=1), made_up, group(8))

    assert str(told.value) == (
        "m: a made-up row cannot be scored (2 rows at once): too many; "
        'if the model needs real ones, give some as "example" in signature.json'
    )


@pytest.mark.parametrize(("kind", "rests"), [(Model, 0), (Shared, 1)])
def test_a_model_that_workers_share_has_rested_before_they_are_forked(kind: type[Model], rests: int) -> None:
    model = kind()
    load_warm(model, group(8))

    assert model.rests == rests


def told_of(model: Model, *, by_load: Sequence[Warned] = ()) -> list[dict[str, Any]]:
    """The events of a warm-up."""
    with capture_logs() as events:
        warm_up(model, replace(loaded(), warnings=by_load), group(8))
    return [dict(event) for event in events]


def test_what_a_model_warns_of_meanwhile_is_told_once_with_the_deployment() -> None:
    assert told_of(Model(warnings=[[("odd", "too_odd")]] * 5), by_load=[("odd", "too_odd")]) == [
        {
            "event": "worker.warm_up_warned",
            "log_level": "warning",
            "deployment": "diamonds/blue",
            "message": "odd",
            "class": "too_odd",
        }
    ]


def test_what_it_warned_of_before_it_failed_is_told_too() -> None:
    events = told_of(Model(largest=0, warnings=[[("odd", "w")]]))

    assert [event["event"] for event in events] == ["worker.warm_up_failed", "worker.warm_up_warned"]


def test_a_model_that_puts_numbers_into_its_warnings_is_told_in_part() -> None:
    events = told_of(Model(warnings=[[(f"row {i}", "w") for i in range(30)]]))

    assert [event["event"] for event in events].count("worker.warm_up_warned") == 20
    assert (events[-1]["event"], events[-1]["count"]) == ("worker.warm_up_warnings_left_out", 10)
