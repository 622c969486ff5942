"""
What two servers answered, as plain values: servers that answer different things must not be timed beside each other.

Numbers agree when they are equal but for the last digits of a 32-bit float, texts when they are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import isclose

import numpy as np

from gateway.wire.v1 import grpc_service_pb2 as wire

__all__ = ["AnswersDiffer", "Values", "grpc_values", "must_agree", "rest_values"]

Values = Mapping[str, Sequence[float | str]]
"""Name of an output tensor → its elements."""


class AnswersDiffer(Exception):
    """The servers do not compute the same."""


def rest_values(answer: bytes) -> Values:
    """Of an Open Inference Protocol answer in JSON."""
    return {output["name"]: output["data"] for output in json.loads(answer)["outputs"]}


def grpc_values(answer: bytes) -> Values:
    """Of a ``ModelInferResponse``, whose contents may be typed or raw."""
    message = wire.ModelInferResponse.FromString(answer)
    if message.raw_output_contents:
        raws = zip(message.outputs, message.raw_output_contents, strict=True)
        return {output.name: _RAW[output.datatype](raw) for output, raw in raws}
    return {output.name: _typed(output) for output in message.outputs}


def must_agree(what: str, ours: Values, theirs: Values) -> None:
    """Raises ``AnswersDiffer``."""
    if ours.keys() != theirs.keys() or not all(_same(ours[name], theirs[name]) for name in ours):
        raise AnswersDiffer(f"{what}: {dict(ours)} here, {dict(theirs)} there")


def _same(ours: Sequence[float | str], theirs: Sequence[float | str]) -> bool:
    return len(ours) == len(theirs) and all(
        isclose(a, b, rel_tol=1e-5, abs_tol=1e-7) if not isinstance(a, str) and not isinstance(b, str) else a == b
        for a, b in zip(ours, theirs, strict=True)
    )


def _typed(output: wire.ModelInferResponse.InferOutputTensor) -> list[float | str]:
    if output.datatype == "BYTES":
        return [element.decode() for element in output.contents.bytes_contents]
    return list(output.contents.fp32_contents)


def _texts(raw: bytes) -> list[float | str]:
    """BYTES elements: each with its length before it."""
    texts: list[float | str] = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        texts.append(raw[at + 4 : end].decode())
        at = end
    return texts


def _floats(raw: bytes) -> list[float | str]:
    return [float(value) for value in np.frombuffer(raw, "<f4")]


_RAW: Mapping[str, Callable[[bytes], list[float | str]]] = {"BYTES": _texts, "FP32": _floats}
