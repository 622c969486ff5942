"""
Typed tensors → stored columns.

The shape of a tensor counts rows first; a scalar column may come as [n] or as [n, 1]. The raw tensor of an only column
is already all records, if it has the column's own type, and is only looked at for NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.core.errors import InvalidInput
from gateway.core.payload import Tensor
from gateway.core.rows import Layout, Text
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME, DataType
from gateway.features.values import Converter, refuse

__all__ = ["TensorReader"]


class TensorReader:
    """Reads the tensors of one signature, given in the order of its columns."""

    def __init__(self, layout: Layout, converters: tuple[Converter, ...]) -> None:
        self._layout, self._converters = layout, converters
        self._columns = layout.columns
        only = layout.columns[0] if layout.is_resolved and len(layout.columns) == 1 else None
        is_number = only is not None and (only.kind is Kind.FLOAT or (only.kind is Kind.INTEGER and not only.nullable))
        self._only = only if is_number else None
        self._width = layout.width

    def count(self, tensors: Sequence[Tensor]) -> int:
        """Rows of the request: the first dimension, which all tensors share."""
        first = tensors[0]
        for tensor in tensors:
            if not tensor.shape:
                raise InvalidInput(f'input "{tensor.name}": expected a first dimension that counts rows, got shape []')
            if tensor.shape[0] != first.shape[0]:
                raise InvalidInput(
                    f'input "{tensor.name}": expected {first.shape[0]} rows as in "{first.name}", got {tensor.shape[0]}'
                )
        return first.shape[0]

    def records(self, tensors: Sequence[Tensor], count: int) -> bytes | None:
        """
        The records of the raw tensor of an only column, which is just that.

        None when the request needs the general way, which also finds out what is wrong with it.
        """
        column, tensor = self._only, tensors[0]
        if column is None or tensor.raw is None or tensor.datatype != column.datatype.name:
            return None
        raw, shape = tensor.raw, tensor.shape[1:]
        if len(raw) != self._width * count or (shape != column.shape and (column.shape or shape != (1,))):
            return None
        may_be_nan = column.datatype.is_float and not column.nullable
        if may_be_nan and np.isnan(np.frombuffer(raw, column.datatype.numpy)).any():
            return None
        return bytes(raw)

    def columns(self, tensors: Sequence[Tensor], count: int) -> list[np.ndarray[Any, Any] | Text]:
        """Every column's stored form."""
        return [self.column(place, tensor, count) for place, tensor in enumerate(tensors)]

    def column(self, place: int, tensor: Tensor, count: int) -> np.ndarray[Any, Any] | Text:
        """One column's stored form."""
        converter = self._converters[place]
        return converter.many(self._array(tensor, converter.column), count)

    def _array(self, tensor: Tensor, column: Column) -> np.ndarray[Any, Any]:
        datatype = BY_NAME.get(tensor.datatype)
        if datatype is None:
            raise InvalidInput(f'input "{tensor.name}": expected a datatype such as FP32, got "{tensor.datatype}"')
        self._check_kind(datatype, column)
        size = math.prod(tensor.shape)
        if tensor.raw is not None:
            array = _split_bytes(tensor) if datatype.size == 0 else _from_raw(tensor, datatype, size)
        else:
            array = _from_values(tensor, datatype, is_whole=column.kind is Kind.INTEGER)
        if array.size != size:
            raise InvalidInput(
                f'input "{tensor.name}": expected {size} elements for shape {list(tensor.shape)}, got {array.size}'
            )
        return array.reshape(tensor.shape)

    def _check_kind(self, datatype: DataType, column: Column) -> None:
        """A number for a number, bytes for a string: what no value could make right is refused by type."""
        wanted = column.datatype
        is_fine = (wanted.size == 0) == (datatype.size == 0) and (wanted.name == "BOOL") == (datatype.name == "BOOL")
        if not is_fine:
            raise refuse(column, 0, f"datatype {wanted.name}", _Word(datatype.name))


class _Word:
    """Shown without quotes in an error."""

    def __init__(self, word: str) -> None:
        self._word = word

    def __repr__(self) -> str:
        return self._word


def _from_raw(tensor: Tensor, datatype: DataType, size: int) -> np.ndarray[Any, Any]:
    raw = tensor.raw
    if raw is None or len(raw) != size * datatype.size:
        raise InvalidInput(
            f'input "{tensor.name}": expected {size * datatype.size} bytes for shape {list(tensor.shape)} of '
            f"{datatype.name}, got {0 if raw is None else len(raw)}"
        )
    if datatype.name == "BOOL":
        array = np.frombuffer(raw, dtype=np.uint8)
        if (array > 1).any():
            raise InvalidInput(f'input "{tensor.name}": expected BOOL elements of 0 or 1')
        return array.astype(bool)
    return np.frombuffer(raw, dtype=datatype.numpy)


def _split_bytes(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Elements of a raw BYTES tensor: each preceded by its length as little-endian uint32."""
    raw = bytes(tensor.raw or b"")
    elements: list[bytes] = []
    at = 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + length > len(raw):
            raise InvalidInput(f'input "{tensor.name}": expected {length} bytes for element {len(elements)}, got fewer')
        elements.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array


def _from_values(tensor: Tensor, datatype: DataType, *, is_whole: bool) -> np.ndarray[Any, Any]:
    """
    Typed contents or JSON data, flat or nested, as an array of the values themselves. ``is_whole``: for a column of
    integers, where none may become a double beside others that are.
    """
    flat = list(_flatten(tensor.values)) if isinstance(tensor.values, (list, tuple)) else tensor.values
    if isinstance(flat, np.ndarray):
        return flat
    if flat is None or not isinstance(flat, list):
        raise InvalidInput(f'input "{tensor.name}": expected data')
    types = set(map(type, flat))
    if datatype.size and types <= {int, float} and (len(types) < 2 or not is_whole):
        try:
            return np.array(flat, dtype=np.int64 if types == {int} else np.float64)
        except OverflowError:
            pass
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array


def _flatten(values: Any) -> Any:
    for value in values:
        if isinstance(value, list):
            yield from _flatten(value)
        else:
            yield value
