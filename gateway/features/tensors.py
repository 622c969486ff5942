"""
Typed tensors → stored columns.

The shape of a tensor counts rows first; a scalar column may come as [n] or as [n, 1]. A one-row request whose raw
tensors have the columns' own types is already the record, in pieces, and the raw tensor of an only column is already
all records: they are joined, and only looked at for NaN.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core.errors import InvalidInput
from gateway.core.payload import Tensor
from gateway.core.rows import Layout, Text
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME, DataType
from gateway.features.values import Converter, refuse

__all__ = ["TensorReader"]

_NUMBERS = {int, float}
_NUMERIC = {name for name, datatype in BY_NAME.items() if datatype.is_float or datatype.is_integer}


class TensorReader:
    """Reads the tensors of one signature, given in the order of its columns."""

    def __init__(self, layout: Layout, converters: tuple[Converter, ...]) -> None:
        self._layout, self._converters = layout, converters
        self._columns = layout.columns
        self._is_fixed = layout.is_resolved and not layout.texts
        self._raw = tuple(_RawColumn.of(column) for column in layout.columns) if self._is_fixed else ()
        scalars = layout.packer is not None
        self._floats = [i for i, c in enumerate(layout.columns) if scalars and c.kind is Kind.FLOAT and not c.nullable]

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
        The records of tensors that are just that: one row, or any number of rows of an only raw column.

        None when the request needs the general way, which also finds out what is wrong with it.
        """
        if not self._is_fixed or (count > 1 and len(tensors) > 1):
            return None
        pieces: list[bytes | memoryview] = []
        for column, tensor in zip(self._raw, tensors, strict=True):
            raw, shape = tensor.raw, tensor.shape
            if shape[1:] not in column.shapes:
                return None
            if raw is None and count == 1 and column.packer is not None:
                raw = _packed(tensor, column.packer, column.elements)
            elif tensor.datatype != column.datatype:
                return None
            if raw is None:
                return None
            if column.codes is not None:
                code = column.codes.get(bytes(raw)) if count == 1 else None
                if code is None:
                    return None
                pieces.append(code)
            elif len(raw) == column.size * count and column.datatype != "BOOL":
                if column.array is not None and np.isnan(np.frombuffer(raw, column.array)).any():
                    return None
                pieces.append(raw)
            else:
                return None
        record = b"".join(pieces)
        if self._floats and self._layout.packer is not None:
            for values in self._layout.packer.iter_unpack(record):
                for i in self._floats:
                    if values[i] != values[i]:  # NaN
                        return None
        return record

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
            array = _from_values(tensor, datatype)
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


@dataclass(frozen=True, slots=True)
class _RawColumn:
    """What the raw tensor of a column must look like to be a piece of the record as it is."""

    datatype: str
    size: int
    """Bytes of one row."""
    shapes: tuple[tuple[int, ...], ...]
    """Of one row, as clients may send it."""
    codes: dict[bytes, bytes] | None
    """Of a scalar categorical: raw BYTES element → stored position."""
    packer: struct.Struct | None
    """Of a float column: makes the piece out of numbers."""
    elements: int
    array: np.dtype[np.generic] | None
    """Set where numpy has to look for NaN; scalars are looked at together, which is cheaper."""

    @staticmethod
    def of(column: Column) -> _RawColumn:
        is_scalar = column.shape == ()
        codes = None
        if column.kind is Kind.CATEGORICAL and is_scalar:
            codes = {
                len(level.encode()).to_bytes(4, "little") + level.encode(): code.to_bytes(4, "little")
                for code, level in enumerate(column.levels)
            }
        return _RawColumn(
            datatype=column.datatype.name,
            # BYTES have no size: a categorical with a shape never matches, and takes the general way.
            size=column.datatype.size * column.elements or -1,
            shapes=((), (1,)) if is_scalar else (column.shape,),
            codes=codes,
            packer=struct.Struct(f"<{column.elements}{column.datatype.code}") if column.kind is Kind.FLOAT else None,
            elements=column.elements,
            array=column.datatype.numpy if column.datatype.is_float and not column.nullable and not is_scalar else None,
        )


def _packed(tensor: Tensor, packer: struct.Struct, elements: int) -> bytes | None:
    """One row of numbers, flat or in a list of one, as a piece of the record; None when they are anything else."""
    values = tensor.values
    if type(values) is list and len(values) == 1 and type(values[0]) is list:
        values = values[0]
    if (
        not isinstance(values, Sequence)
        or len(values) != elements
        or not _NUMBERS.issuperset(map(type, values))
        or tensor.datatype not in _NUMERIC
    ):
        return None
    try:
        return packer.pack(*values)
    except (struct.error, OverflowError):
        return None


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


def _from_values(tensor: Tensor, datatype: DataType) -> np.ndarray[Any, Any]:
    """Typed contents or JSON data, flat or nested, as an array of the values themselves."""
    flat = list(_flatten(tensor.values)) if isinstance(tensor.values, (list, tuple)) else tensor.values
    if isinstance(flat, np.ndarray):
        return flat
    if flat is None or not isinstance(flat, list):
        raise InvalidInput(f'input "{tensor.name}": expected data')
    types = set(map(type, flat))
    if datatype.size and types <= {int, float}:
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
