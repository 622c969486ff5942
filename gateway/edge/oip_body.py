"""
The body of an inference request and of its answer over HTTP: JSON, with tensors in binary behind it where asked for.

The binary extension puts JSON first, as long as ``Inference-Header-Content-Length`` says, and then the raw elements of
every tensor whose parameters have a ``binary_data_size``, in order. A length of 0 is the extension's raw-binary
request: the body is the only input's elements, and all outputs come back in binary. Pure: bytes in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import msgspec

from gateway.core.errors import InvalidInput, NotSupported
from gateway.core.payload import Tensor, Tensors
from gateway.core.request import Answer
from gateway.core.signature import Signature
from gateway.edge.oip_one_row import OneRowAnswer
from gateway.edge.oip_outputs import OutputPlan
from gateway.edge.oip_tensors import collect, count_of, frame, raw_tensor, size_of, value_tensor

__all__ = ["InferRequest", "build_response", "header_length", "parse", "raw_binary", "tensors"]

Parameters = dict[str, Any]


class InputTensor(msgspec.Struct):
    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: Parameters | None = None
    data: Any = None


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct):
    """The JSON part, as it came."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None

    @property
    def wants_binary(self) -> bool:
        return self.parameters is not None and self.parameters.get("binary_data_output") is True


_decode = msgspec.json.Decoder(InferRequest).decode
_encode = msgspec.json.Encoder().encode

_NOTHING = memoryview(b"")


def header_length(value: str | None) -> int | None:
    """``Inference-Header-Content-Length`` as a number; None when there is none. Raises ``InvalidInput``."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise InvalidInput("inference-header-content-length: expected a number of bytes")
    return int(value)


def parse(body: bytes, length: int | None) -> tuple[InferRequest, memoryview]:
    """The JSON part and the bytes behind it. Raises ``InvalidInput``."""
    text: bytes | memoryview = body
    binary = _NOTHING
    if length is not None:
        if length > len(body):
            raise InvalidInput(f"inference-header-content-length: expected at most {len(body)}, got {length}")
        view = memoryview(body)
        text, binary = view[:length], view[length:]
    try:
        return _decode(text), binary
    except RecursionError as error:
        raise InvalidInput("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("the body is not UTF-8") from error
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the body is no inference request: {error}") from error
    except (msgspec.DecodeError, ValueError) as error:
        if not bytes(text).strip():
            raise InvalidInput("expected a JSON body, it is empty") from error
        raise InvalidInput(f"the body is not JSON: {error}") from error


def tensors(request: InferRequest, binary: memoryview) -> Tensors:
    """Raises ``InvalidInput``, or ``NotSupported`` for shared memory."""
    found = _plain(request.inputs, binary)
    if found is not None and len(found) == 1:
        return Tensors(found)
    return collect(_checked(request.inputs, binary) if found is None else found)


def _plain(inputs: list[InputTensor], binary: memoryview) -> list[Tensor] | None:
    """Tensors with nothing remarkable about them; None for any other, which ``_checked`` takes or refuses."""
    found: list[Tensor] = []
    at = 0
    try:
        for tensor in inputs:
            data, datatype, shape, parameters = tensor.data, tensor.datatype, tensor.shape, tensor.parameters
            if not parameters:
                if type(data) is not list or len(data) != count_of(datatype, shape) or type(data[0]) is list:
                    return None
                found.append(Tensor(tensor.name, datatype, shape, None, data))
            else:
                size = parameters["binary_data_size"]
                start, at = at, at + size
                if size != size_of(datatype, shape) or type(size) is not int:
                    return None
                if len(parameters) > 1 or data is not None:
                    return None
                found.append(Tensor(tensor.name, datatype, shape, binary[start:at]))
    except (LookupError, TypeError, InvalidInput):
        return None
    return found if at == len(binary) else None


def _checked(inputs: list[InputTensor], binary: memoryview) -> list[Tensor]:
    """Raises ``InvalidInput`` or ``NotSupported``."""
    found: list[Tensor] = []
    at = 0
    for tensor in inputs:
        size = None
        if tensor.parameters:
            if "shared_memory_region" in tensor.parameters:
                raise NotSupported(f'input "{tensor.name}": shared memory is not offered')
            size = tensor.parameters.get("binary_data_size")
        if size is None:
            if tensor.data is None:
                raise InvalidInput(f'input "{tensor.name}": expected data')
            found.append(value_tensor(tensor.name, tensor.datatype, tensor.shape, tensor.data))
            continue
        if type(size) is not int or size < 0:
            raise InvalidInput(f'input "{tensor.name}": expected binary_data_size to be a number of bytes')
        if tensor.data is not None:
            raise InvalidInput(f'input "{tensor.name}": expected either data or binary_data_size, got both')
        if at + size > len(binary):
            raise InvalidInput(f'input "{tensor.name}": expected {size} bytes behind the JSON, got {len(binary) - at}')
        found.append(raw_tensor(tensor.name, tensor.datatype, tensor.shape, binary[at : at + size]))
        at += size
    if at != len(binary):
        raise InvalidInput(f"expected {at} bytes behind the JSON, got {len(binary)}")
    return found


def raw_binary(body: bytes, signature: Signature) -> Tensors:
    """One row of a model's only input, without any JSON. Raises ``InvalidInput``."""
    if len(signature.inputs) != 1:
        raise InvalidInput(f"a raw binary request fits a model with one input, this one has {len(signature.inputs)}")
    column = signature.inputs[0]
    element = column.datatype.size
    shape = column.shape or (1,)
    known = prod(length for length in shape if length >= 0)
    if element == 0:
        if shape != (1,):
            raise InvalidInput(
                f'input "{column.name}": a raw binary request carries one string, not shape {list(shape)}'
            )
        return collect([raw_tensor(column.name, "BYTES", (1, 1), frame(body))])
    if shape.count(-1) > 1:
        raise InvalidInput(f'input "{column.name}": a raw binary request cannot say shape {list(shape)}')
    open_length = len(body) // (known * element) if known else 0
    resolved = [open_length if length < 0 else length for length in shape]
    return collect([raw_tensor(column.name, column.datatype.name, (1, *resolved), body)])


def build_response(request: InferRequest | None, answer: Answer) -> tuple[bytes, int | None]:
    """
    The body, and how much of it is JSON if not all of it. ``request`` None stands for a raw-binary one.

    Raises ``InvalidInput`` or ``NotSupported`` for what was asked.
    """
    rows, deployment = answer.rows, answer.deployment
    if rows.count == 1 and (request is None or not request.outputs):
        known = OneRowAnswer.of(deployment.endpoint, deployment.name, rows.layout)
        if known.is_plain:
            if request is not None and not (request.parameters and request.wants_binary):
                return known.json(request.id, rows), None
            head, raws = known.binary(request.id if request is not None else None, rows)
            return b"".join([head, *raws]), len(head)
    return _encoded(request, answer)


def _encoded(request: InferRequest | None, answer: Answer) -> tuple[bytes, int | None]:
    """Any answer, as a document of its own."""
    rows = answer.rows
    wanted: Sequence[RequestedOutput] = (request.outputs if request else None) or ()
    binary_by_default = request is None or request.wants_binary
    columns = OutputPlan.of(rows.layout).pick([output.name for output in wanted])
    is_binary = {output.name: _wants_binary(output, binary_by_default) for output in wanted}
    parts: list[bytes] = []
    outputs: list[Mapping[str, Any]] = []
    for column in columns:
        output: dict[str, Any] = {"name": column.name, "datatype": column.datatype, "shape": column.shape(rows)}
        if is_binary.get(column.name, binary_by_default):
            raw = column.raw(rows)
            parts.append(raw)
            output["parameters"] = {"binary_data_size": len(raw)}
        else:
            output["data"] = column.values(rows)
        outputs.append(output)
    document: dict[str, Any] = {"model_name": answer.deployment.endpoint, "model_version": answer.deployment.name}
    if request is not None and request.id:
        document["id"] = request.id
    document["outputs"] = outputs
    header = _encode(document)
    if not parts:
        return header, None
    return b"".join([header, *parts]), len(header)


def _wants_binary(output: RequestedOutput, by_default: bool) -> bool:
    parameters = output.parameters
    if not parameters:
        return by_default
    for word in ("classification", "shared_memory_region"):
        if parameters.get(word):
            raise NotSupported(f'output "{output.name}": {word} is not offered')
    return parameters.get("binary_data", by_default) is True
