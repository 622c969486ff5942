# mypy: ignore-errors
"""
An ONNX model in Triton's Python backend, written the way its documentation does: one call of the model for all
requests that the dynamic batcher gives together. Runs in the interpreter that ``--triton`` names, not in ours.
"""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import triton_python_backend_utils as backend


class TritonPythonModel:
    def initialize(self, given):
        path = json.loads(given["model_config"])["parameters"]["model"]["string_value"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # as Lockgate's worker has it, and quicker on one core
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]

    def execute(self, requests):
        given = [
            [backend.get_input_tensor_by_name(each, name).as_numpy() for each in requests] for name in self._inputs
        ]
        feeds = {name: np.concatenate(arrays) for name, arrays in zip(self._inputs, given, strict=True)}
        found = self._session.run(self._outputs, feeds)
        answers, start = [], 0
        for rows in given[0]:
            end = start + len(rows)
            tensors = [backend.Tensor(name, all_[start:end]) for name, all_ in zip(self._outputs, found, strict=True)]
            answers.append(backend.InferenceResponse(tensors))
            start = end
        return answers
