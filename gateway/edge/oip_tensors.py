"""
The tensors of an Open Inference Protocol request, checked for what needs no signature.

Both wires build their payload here, so that a shape that does not fit its data, an unknown datatype or a broken string
is refused in the same words over HTTP and gRPC. Whether the tensors fit the model is asked later, in
``gateway.features.assemble``. Every refusal names the tensor.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from gateway.core.errors import InvalidInput
from gateway.core.payload import Tensor, Tensors
from gateway.core.tensor import BY_NAME, DataType

__all__ = ["collect", "count_of", "frame", "raw_tensor", "size_of", "value_tensor"]

_MAX_ELEMENTS = (1 << 31) - 1
"""More than any message can carry, so larger dimensions are mistakes; also guards what multiplies them later."""

_MAX_DIMENSIONS = 32
"""numpy's own limit is 64; a shape of millions of them would only cost us the multiplication."""

_MAX_STRINGS = 1 << 20
"""Strings are counted one by one; more of them than this in one tensor would hold up everybody else."""

_LENGTH = struct.Struct("<I")


def raw_tensor(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Tensor:
    """A tensor whose elements came as little-endian bytes. Raises ``InvalidInput``."""
    shape = tuple(shape)
    count = _elements(name, shape)
    size = _datatype(name, datatype).size
    if size == 0:
        _check_framing(name, raw, count, shape)
    elif len(raw) != count * size:
        raise InvalidInput(
            f'input "{name}": expected {count * size} bytes for shape {list(shape)} of {datatype}, got {len(raw)}'
        )
    return Tensor(name, datatype, shape, raw)


def value_tensor(name: str, datatype: str, shape: Sequence[int], values: Any) -> Tensor:
    """A tensor whose elements came one by one, flat or nested as its shape says. Raises ``InvalidInput``."""
    shape = tuple(shape)
    count = _elements(name, shape)
    if _datatype(name, datatype).name == "FP16":
        raise InvalidInput(f'input "{name}": expected FP16 as raw bytes, the only form the protocol has for it')
    if not isinstance(values, list):
        raise InvalidInput(f'input "{name}": expected data to be a list')
    if values and isinstance(values[0], list):
        values = _flattened(name, values, shape)
    if len(values) != count:
        raise InvalidInput(
            f'input "{name}": expected {count} elements for shape {list(shape)} of {datatype}, got {len(values)}'
        )
    return Tensor(name, datatype, shape, None, values)


@lru_cache(maxsize=1024)
def count_of(datatype: str, shape: tuple[int, ...]) -> int:
    """
    Elements of a tensor whose elements come one by one; remembered, since callers repeat themselves.

    Raises ``InvalidInput`` for what ``value_tensor`` refuses, as ``size_of`` does for what ``raw_tensor`` refuses; they
    know the name, and have the right words. It is not remembered then, so nothing long ever is.
    """
    if _datatype("", datatype).name == "FP16":
        raise InvalidInput("expected FP16 as raw bytes")
    return _elements("", shape)


@lru_cache(maxsize=1024)
def size_of(datatype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a raw tensor whose elements have a fixed size. Raises ``InvalidInput`` for any other."""
    size = _datatype("", datatype).size
    if size == 0:
        raise InvalidInput("expected elements of a fixed size")
    return _elements("", shape) * size


def collect(tensors: list[Tensor]) -> Tensors:
    """The payload of one request. Raises ``InvalidInput`` when there is none or two share a name."""
    if not tensors:
        raise InvalidInput("expected at least one input tensor")
    if len(tensors) > 1 and len({tensor.name for tensor in tensors}) != len(tensors):
        seen: set[str] = set()
        for tensor in tensors:
            if tensor.name in seen:
                raise InvalidInput(f'input "{tensor.name}": given more than once')
            seen.add(tensor.name)
    return Tensors(tensors)


def frame(element: bytes) -> bytes:
    """One element of a raw BYTES tensor: its length, then itself."""
    return _LENGTH.pack(len(element)) + element


def _elements(name: str, shape: tuple[int, ...]) -> int:
    if len(shape) > _MAX_DIMENSIONS:
        raise InvalidInput(f'input "{name}": expected at most {_MAX_DIMENSIONS} dimensions, got {len(shape)}')
    count = 1
    widest = 1
    for dimension in shape:
        if dimension < 0:
            raise InvalidInput(f'input "{name}": expected dimensions of 0 or more, got shape {list(shape)}')
        count *= dimension
        widest *= dimension or 1
        # Within the loop, so that no number ever gets longer than two of these.
        if dimension > _MAX_ELEMENTS or widest > _MAX_ELEMENTS:
            raise InvalidInput(f'input "{name}": expected at most {_MAX_ELEMENTS} elements, got shape {list(shape)}')
    return count


def _datatype(name: str, datatype: str) -> DataType:
    known = BY_NAME.get(datatype)
    if known is None:
        raise InvalidInput(f'input "{name}": expected one of the datatypes {", ".join(BY_NAME)}, got "{datatype}"')
    return known


def _check_framing(name: str, raw: bytes | memoryview, count: int, shape: tuple[int, ...]) -> None:
    """Raises unless ``raw`` is exactly ``count`` elements, each after its own length."""
    if count > _MAX_STRINGS:
        raise InvalidInput(f'input "{name}": expected at most {_MAX_STRINGS} strings, got shape {list(shape)}')
    at, end, found = 0, len(raw), 0
    while at < end and found <= count:
        if at + 4 > end:
            raise InvalidInput(f'input "{name}": expected a length of 4 bytes before element {found}, got {end - at}')
        length = _LENGTH.unpack_from(raw, at)[0]
        at += 4 + length
        if at > end:
            raise InvalidInput(f'input "{name}": expected {length} bytes for element {found}, got {length - at + end}')
        found += 1
    if found != count:
        got = f"more than {count}" if found > count else str(found)
        raise InvalidInput(f'input "{name}": expected {count} elements for shape {list(shape)} of BYTES, got {got}')


def _flattened(name: str, values: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Nested lists in row-major order; every level must be as long as its dimension says."""
    for depth, length in enumerate(shape):
        if len(values) != length * _rows(shape, depth):
            raise InvalidInput(f'input "{name}": expected data nested as shape {list(shape)} says')
        if depth == len(shape) - 1:
            break
        if not all(isinstance(value, list) and len(value) == shape[depth + 1] for value in values):
            raise InvalidInput(f'input "{name}": expected data nested as shape {list(shape)} says')
        values = [element for value in values for element in value]
    if values and isinstance(values[0], list):
        raise InvalidInput(f'input "{name}": expected data nested as shape {list(shape)} says')
    return values


def _rows(shape: tuple[int, ...], depth: int) -> int:
    count = 1
    for dimension in shape[:depth]:
        count *= dimension
    return count
