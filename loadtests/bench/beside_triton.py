"""
Lockgate beside Triton: each server whole on one core, the load on the other, 16 and 64 requests in flight.

REST has a connection for each request in flight, gRPC one for all. Lockgate has TLS and a key, Triton neither. Both
answer every row of both models alike, or nothing is timed. The floor (floor_gateway.py) takes its turns over gRPC with
the one model that it knows. The two models are the small network of the bench, with all numbers in one tensor, and the
boosting of the examples, with a tensor for each column and a text in its answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from loadtests.bench import h2load
from loadtests.bench.answers import grpc_values, must_agree, rest_values
from loadtests.bench.closed_loop import Measurement, measure_in_turns
from loadtests.bench.floor import FLOOR_MODEL, Floor
from loadtests.bench.layout import Layout
from loadtests.bench.lockgate import Lockgate
from loadtests.bench.requests import infer_json, infer_protobuf, rows_of
from loadtests.bench.triton import Triton

__all__ = ["IN_FLIGHT", "TRITON_GROUPS", "run"]

IN_FLIGHT = (16, 64)

TRITON_GROUPS = {
    "rest mlp": "REST, ONNX network",
    "grpc mlp": "gRPC, ONNX network, one connection",
    "rest tumor": "REST, ONNX boosting",
    "grpc tumor": "gRPC, ONNX boosting, one connection",
}
"""Group of measurements → what people call it."""


def run(
    lockgate: Lockgate,
    triton: Triton,
    floor: Floor,
    models: Iterable[str],
    layout: Layout,
    *,
    repeats: int,
    seconds: float,
) -> list[Measurement]:
    """All models over both wires, the servers in turn. Raises ``AnswersDiffer``."""
    found = []
    for model in models:
        _check(lockgate, triton, model)
        group = f"rest {model}"
        over_rest = [triton.rest(group, model), lockgate.rest_infer(group, layout.load, model)]
        group = f"grpc {model}"
        over_grpc = [triton.grpc(group, model), lockgate.grpc_infer(group, layout.load, model, h2load.run_on_one)]
        if model == FLOOR_MODEL:
            _check_floor(lockgate, floor)
            over_grpc.append(floor.grpc_infer(group, layout.load, h2load.run_on_one))
        for targets in (over_rest, over_grpc):
            found += measure_in_turns(
                targets, cores=layout.both, repeats=repeats, seconds=seconds, connections=IN_FLIGHT
            )
    return found


def _check(lockgate: Lockgate, triton: Triton, model: str) -> None:
    for row in rows_of(model):
        body, message = infer_json(row), infer_protobuf(model, row)
        must_agree(
            f"{model} over REST",
            rest_values(lockgate.rest_answer(model, body)),
            rest_values(triton.rest_answer(model, body)),
        )
        must_agree(
            f"{model} over gRPC", grpc_values(lockgate.grpc_answer(message)), grpc_values(triton.grpc_answer(message))
        )


def _check_floor(lockgate: Lockgate, floor: Floor) -> None:
    for row in rows_of(FLOOR_MODEL):
        message = infer_protobuf(FLOOR_MODEL, row)
        ours, theirs = grpc_values(lockgate.grpc_answer(message)), grpc_values(floor.grpc_answer(message))
        must_agree("the floor over gRPC", ours, theirs)
