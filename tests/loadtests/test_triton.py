"""What Triton is told of a model, and what it must reach beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from loadtests.bench.closed_loop import Measurement
from loadtests.bench.ratios import ratios
from loadtests.bench.triton import model_config


def model() -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 10])]
    outputs = [
        helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
    ]
    return helper.make_model(helper.make_graph([], "m", inputs, outputs))


@pytest.mark.parametrize(
    "line",
    [
        'input [ { name: "x" data_type: TYPE_FP32 dims: [10] } ]',
        'output [ { name: "p" data_type: TYPE_FP32 dims: [1] } ]',
        'output [ { name: "label" data_type: TYPE_STRING dims: [1] reshape: { shape: [] } } ]',
        "dynamic_batching { max_queue_delay_microseconds: 0 }",
        'parameters { key: "model" value { string_value: "/models/m.onnx" } }',
    ],
)
def test_triton_is_told_the_tensors_of_one_row_and_to_batch_what_has_queued(line: str) -> None:
    assert line in model_config("m", model(), Path("/models/m.onnx")).splitlines()


def measured(server: str, group: str, rate: float) -> Measurement:
    same: dict[str, Any] = {"connections": 64, "p50_ms": 1.0, "p99_ms": 1.0, "errors": 0, "foreign": 0.0}
    return Measurement(group=group, server=server, rate=rate, cpu_us={}, resident_mb={}, **same)


@pytest.mark.parametrize(("group", "goal"), [("rest mlp", 1.5), ("grpc mlp", 2.5), ("grpc tumor", 2.5)])
def test_throughput_beside_triton_has_a_goal_for_each_wire(group: str, goal: float) -> None:
    found = [
        ratios([measured("triton", group, 100.0), measured("lockgate", group, 100 * by)], [], None)[0]
        for by in (goal, goal - 0.01)
    ]

    assert [ratio.is_met for ratio in found] == [True, False]


def test_what_the_floor_reaches_beside_triton_is_told_and_promises_nothing() -> None:
    runs = [measured(server, "grpc mlp", rate) for server, rate in (("triton", 100.0), ("floor", 340.0))]

    assert [(ratio.value, ratio.goal, ratio.is_met) for ratio in ratios(runs, [], None)] == [(3.4, None, None)]
