"""The one-row requests of the bench, the same bytes for every server of a group."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from gateway.wire.v1 import grpc_service_pb2 as wire
from loadtests.bench.models import FEATURES, TUMOR

__all__ = ["InputRow", "diamond_json", "infer_json", "infer_protobuf", "mlp_json", "mlp_protobuf", "rows_of"]

InputRow = Mapping[str, Sequence[float]]
"""Name of an input tensor → its values in one row."""


def rows_of(model: str) -> list[InputRow]:
    """Of ``mlp`` the row of the bench; of ``tumor`` the examples in its signature."""
    if model == "mlp":
        return [_mlp_row()]
    signature = msgspec.json.decode(Path(TUMOR, "signature.json").read_bytes())
    names = [column["name"] for column in signature["inputs"]]
    return [{name: [value] for name, value in zip(names, row, strict=True)} for row in signature["example"]]


def infer_json(row: InputRow) -> bytes:
    """Open Inference Protocol over REST: one row of floats."""
    tensors = [
        {"name": name, "datatype": "FP32", "shape": [1, len(values)], "data": list(values)}
        for name, values in row.items()
    ]
    return json.dumps({"inputs": tensors}).encode()


def infer_protobuf(model: str, row: InputRow) -> bytes:
    """The same over gRPC, in raw contents as tritonclient sends it."""
    tensor = wire.ModelInferRequest.InferInputTensor
    request = wire.ModelInferRequest(
        model_name=model,
        inputs=[tensor(name=name, datatype="FP32", shape=[1, len(values)]) for name, values in row.items()],
        raw_input_contents=[np.asarray(values, "<f4").tobytes() for values in row.values()],
    )
    return request.SerializeToString()


def mlp_json() -> bytes:
    """One row of ten floats in one tensor."""
    return infer_json(_mlp_row())


def mlp_protobuf() -> bytes:
    """The same row over gRPC."""
    return infer_protobuf("mlp", _mlp_row())


def diamond_json() -> bytes:
    """One record for the R models, in the form that both plumber and Lockgate read."""
    record = {"carat": 0.71, "cut": "Ideal", "color": "E", "clarity": "VS1", "depth": 61.8, "table": 56.0}
    record |= {"x": 5.73, "y": 5.76, "z": 3.55}
    return json.dumps({"data": [record]}).encode()


def _mlp_row() -> InputRow:
    return {"x": [float(value) for value in np.round(np.linspace(-1, 1, FEATURES), 2).astype("<f4")]}
