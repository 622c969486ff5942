"""Warming a model up."""

from __future__ import annotations

import numpy as np
import pytest
from structlog.testing import capture_logs

from workers.runtimes.base import Batch, Loaded, LoadError, ModelError, Result, Runtime
from workers.schema import Column, Schema
from workers.warmup import sizes, warm_up


class Model(Runtime):
    loads_before_fork = False

    def __init__(self, largest: int = 1000) -> None:
        self.rows: list[int] = []
        self.last = b""
        self._largest = largest

    def load(self) -> Loaded:
        raise NotImplementedError

    def score(self, batch: Batch) -> Result:
        self.rows.append(batch.rows)
        self.last = batch.records
        if batch.rows > self._largest:
            raise ModelError("too many")
        return Result(b"")


def loaded(max_rows: int = 0, example: tuple[tuple[float, ...], ...] = (), *, may_make_up: bool = True) -> Loaded:
    schema = Schema(inputs=(Column(name="x", kind="float", datatype="FP32"),), outputs=(), example=example)
    return Loaded(schema=schema, platform="p", runtime="r", max_rows=max_rows, may_make_up=may_make_up)


@pytest.mark.parametrize(
    ("largest", "expected"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (32, [1, 2, 4, 8, 16, 32]), (5, [1, 2, 4, 5])]
)
def test_sizes_double_up_to_the_largest(largest: int, expected: list[int]) -> None:
    assert sizes(largest) == expected


def test_every_size_is_scored() -> None:
    model = Model()
    warm_up(model, loaded(), 8)

    assert model.rows == [1, 2, 4, 8]


def test_the_models_own_limit_is_kept() -> None:
    model = Model()
    warm_up(model, loaded(max_rows=1), 8)

    assert model.rows == [1]


def test_neutral_rows_that_fail_are_an_event_and_no_error() -> None:
    with capture_logs() as events:
        warm_up(Model(largest=1), loaded(), 8)

    assert [(event["event"], event["rows"]) for event in events] == [("worker.warm_up_failed", 2)]


def test_an_example_that_fails_is_an_error() -> None:
    with pytest.raises(LoadError, match=r"the example cannot be scored \(2 rows at once\): too many"):
        warm_up(Model(largest=1), loaded(example=((1.5,),)), 8)


def test_a_model_that_takes_whole_requests_is_asked_none_that_was_made_up() -> None:
    model = Model()
    warm_up(model, loaded(max_rows=1, may_make_up=False), 8)

    assert model.rows == []


def test_a_model_that_takes_whole_requests_is_asked_those_of_its_example() -> None:
    with pytest.raises(LoadError, match="the example cannot be scored"):
        warm_up(Model(largest=0), loaded(max_rows=1, example=((1.5,),), may_make_up=False), 8)


def test_examples_beyond_the_largest_batch_are_scored_too() -> None:
    model = Model()
    warm_up(model, loaded(max_rows=2, example=((1.0,), (2.0,), (3.0,), (4.0,), (5.0,))), 8)

    assert model.rows == [1, 2, 2, 1]
    assert model.last == np.float32(5.0).tobytes()
