"""
ModelInferRequest → payload, and answer → ModelInferResponse. Pure.

A request either puts all its elements into ``raw_input_contents`` or all into the typed ``contents`` of each input, and
it is answered in the form it used: Triton's clients speak raw and read both; KServe's and MLServer's, which may send
typed contents, may also expect them back. FP16 has no typed form, so an answer with such a column is raw.

Clients repeat themselves: request after request names the same tensors, and only the raw bytes differ. Taking name,
datatype and shape out of a message and checking them costs several microseconds a tensor, so a head that passed is
remembered by its serialized form, which costs a quarter of one to make.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from gateway.core.errors import InvalidInput, NotSupported
from gateway.core.payload import Tensor, Tensors
from gateway.core.request import Answer
from gateway.core.rows import Rows
from gateway.core.tensor import BY_NAME
from gateway.edge.oip_outputs import OutputColumn, OutputPlan
from gateway.edge.oip_tensors import collect, raw_tensor, value_tensor
from gateway.wire.v1.grpc_service_pb2 import InferTensorContents, ModelInferRequest, ModelInferResponse

__all__ = ["InputReader", "build_response"]

_OutputTensor = ModelInferResponse.InferOutputTensor

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Which field of InferTensorContents holds the elements of a datatype."""

_MAX_HEADS = 4096
"""Callers choose what is remembered, so there is a bound: two megabytes at most."""

_MAX_KEY = 256

_ONE_STRING, _STRINGS = -1, -2


class InputReader:
    """Reads the tensors of requests; one for all calls, because it remembers what it has seen."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[str, str, tuple[int, ...], int]] = {}
        """Serialized input without elements → name, datatype, shape and bytes (or one of the two below)."""

    def __call__(self, request: ModelInferRequest) -> Tensors:
        """Raises ``InvalidInput``, or ``NotSupported`` for shared memory."""
        inputs, raws = request.inputs, request.raw_input_contents
        if not raws:
            return collect([_typed_tensor(tensor) for tensor in inputs])
        if len(raws) != len(inputs):
            raise InvalidInput(f"raw_input_contents: expected one for each of {len(inputs)} inputs, got {len(raws)}")
        tensors: list[Tensor] = []
        for tensor, raw in zip(inputs, raws, strict=True):
            key = tensor.SerializeToString()
            head = self._heads.get(key)
            if head is None:
                tensors.append(self._learn(tensor, raw, key))
                continue
            name, datatype, shape, size = head
            if len(raw) == size or (size == _ONE_STRING and int.from_bytes(raw[:4], "little") + 4 == len(raw)):
                tensors.append(Tensor(name, datatype, shape, raw))
            else:  # several strings; or a mistake, which the thorough way puts into words
                tensors.append(raw_tensor(name, datatype, shape, raw))
        return collect(tensors)

    def _learn(self, tensor: ModelInferRequest.InferInputTensor, raw: bytes, key: bytes) -> Tensor:
        """The thorough way; remembers the head when nothing is wrong with it."""
        if tensor.HasField("contents"):
            raise InvalidInput(f'input "{tensor.name}": expected either contents or raw_input_contents, got both')
        _refuse_shared_memory(tensor)
        read = raw_tensor(tensor.name, tensor.datatype, tensor.shape, raw)
        if len(key) <= _MAX_KEY:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            size = len(raw)
            if BY_NAME[read.datatype].size == 0:
                size = _ONE_STRING if prod(read.shape) == 1 else _STRINGS
            self._heads[key] = (read.name, read.datatype, read.shape, size)
        return read


def build_response(request: ModelInferRequest, answer: Answer) -> ModelInferResponse:
    """Raises ``InvalidInput`` for an output that the model does not have, ``NotSupported`` for a form unknown here."""
    rows = answer.rows
    columns = OutputPlan.of(rows.layout).pick(_wanted(request))
    is_raw = bool(request.raw_input_contents) or any(column.datatype == "FP16" for column in columns)
    if is_raw:
        outputs = [_OutputTensor(name=c.name, datatype=c.datatype, shape=c.shape(rows)) for c in columns]
    else:
        outputs = [_typed_output(column, rows) for column in columns]
    return ModelInferResponse(
        model_name=answer.deployment.endpoint,
        model_version=answer.deployment.name,
        id=request.id,
        outputs=outputs,
        raw_output_contents=[column.raw(rows) for column in columns] if is_raw else (),
    )


def _typed_tensor(tensor: ModelInferRequest.InferInputTensor) -> Tensor:
    if tensor.parameters:
        _refuse_shared_memory(tensor)
    field = _CONTENTS.get(tensor.datatype)
    for given, _ in tensor.contents.ListFields():
        if field is not None and given.name != field:
            raise InvalidInput(f'input "{tensor.name}": expected {tensor.datatype} in {field}, got {given.name}')
    values: list[Any] = [] if field is None else list(getattr(tensor.contents, field))
    return value_tensor(tensor.name, tensor.datatype, tensor.shape, values)


def _refuse_shared_memory(tensor: ModelInferRequest.InferInputTensor) -> None:
    if "shared_memory_region" in tensor.parameters:
        raise NotSupported(f'input "{tensor.name}": shared memory is not offered')


def _wanted(request: ModelInferRequest) -> Sequence[str]:
    outputs = request.outputs
    if not outputs:
        return ()
    for output in outputs:
        for word in ("classification", "shared_memory_region"):
            if word in output.parameters:
                raise NotSupported(f'output "{output.name}": {word} is not offered')
    return [output.name for output in outputs]


def _typed_output(column: OutputColumn, rows: Rows) -> _OutputTensor:
    values = column.values(rows)
    if column.datatype == "BYTES":
        values = [(value or "").encode() for value in values]
    contents = InferTensorContents(**{_CONTENTS[column.datatype]: values})
    return _OutputTensor(name=column.name, datatype=column.datatype, shape=column.shape(rows), contents=contents)
