"""The one-row requests of the bench, the same bytes for every server of a group."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from gateway.wire.v1 import grpc_service_pb2 as wire
from loadtests.bench.models import FEATURES

__all__ = ["diamond_json", "mlp_json", "mlp_protobuf"]


def mlp_json() -> bytes:
    """Open Inference Protocol over REST: one row of ten floats."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, FEATURES], "data": [float(v) for v in _row()]}
    return json.dumps({"inputs": [tensor]}).encode()


def mlp_protobuf() -> bytes:
    """The same row over gRPC, in raw contents as tritonclient sends it."""
    tensor = wire.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, FEATURES])
    request = wire.ModelInferRequest(model_name="mlp", inputs=[tensor], raw_input_contents=[_row().tobytes()])
    return request.SerializeToString()


def diamond_json() -> bytes:
    """One record for the R models, in the form that both plumber and Lockgate read."""
    record = {"carat": 0.71, "cut": "Ideal", "color": "E", "clarity": "VS1", "depth": 61.8, "table": 56.0}
    record |= {"x": 5.73, "y": 5.76, "z": 3.55}
    return json.dumps({"data": [record]}).encode()


def _row() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.round(np.linspace(-1, 1, FEATURES), 2).astype("<f4")
