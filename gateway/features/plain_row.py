"""
One row with nothing remarkable about it: what most requests are, and what the latency is about.

It is packed by one ``struct``, or put together from the raw tensors as they came, without numpy. ``None`` stands for
anything else (a boolean among numbers, a missing value, a level nobody knows, NaN, a number that does not fit, another
type): that goes the general way, which accepts it or says what is wrong with it, so that every complaint comes from one
place. What is packed here is what the general way would have made of it.

Which tensors fit is decided once per set of names, datatypes and shapes, since callers repeat themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from gateway.core.payload import Tensor
from gateway.core.rows import Layout
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.features.plain_tensors import UNFIT, Reader, of_one, of_one_short, of_several

__all__ = ["PlainRow"]

Heads: TypeAlias = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, datatype and shape of each tensor of a request."""

_NUMBERS = {int, float}
_NUMERIC = {name for name, datatype in BY_NAME.items() if datatype.is_float or datatype.is_integer}

_REMEMBERED = 256
"""Forms that are kept: callers choose the order of tensors and how a shape is written, so there is a bound."""

_FEW_NUMBERS = 64
"""Up to here adding the numbers up finds NaN sooner than numpy does, which takes two microseconds at the least."""


class PlainRow:
    """Reads the rows of one layout, whose columns are all of fixed size."""

    def __init__(self, layout: Layout) -> None:
        columns = layout.columns
        is_fixed = layout.is_resolved and not layout.texts and bool(columns)
        self._columns = columns
        self._names = tuple(column.name for column in columns)
        self._scalars = layout.packer is not None
        self._takes_values = is_fixed and all(map(_packs_values, columns))
        self._takes_raw = is_fixed and all(map(_joins_raw, columns))
        self.is_flat = self._takes_values and self._scalars
        """Whether all columns are scalars that may be plain."""
        self._is_nested = self._takes_values and not self._scalars and all(len(c.shape) <= 1 for c in columns)
        elements = [column.elements if is_fixed else 0 for column in columns]
        self._elements = elements
        self._sizes = [count * column.storage.size for count, column in zip(elements, columns, strict=True)]
        self._packer = struct.Struct(_format(columns, elements)) if is_fixed else struct.Struct("")
        codes = [(place, _codes(column)) for place, column in enumerate(columns) if column.kind is Kind.CATEGORICAL]
        self._levels = [
            (sum(elements[:place]), {**known, **{level.encode(): code for level, code in known.items()}})
            for place, known in codes
        ]
        self._framed = [
            (place, {_framed(level.encode()): code.to_bytes(4, "little") for level, code in known.items()})
            for place, known in codes
        ]
        strict = [column.datatype.is_float and not column.nullable for column in columns]
        """Of each column, whether it must not hold NaN."""
        self._strict = struct.Struct(_format(columns, elements, strict)) if is_fixed else struct.Struct("")
        self._is_short = sum(count for count, must in zip(elements, strict, strict=True) if must) <= _FEW_NUMBERS
        self._long = [(f"c{place}", layout.dtype) for place, must in enumerate(strict) if must and is_fixed]
        self.readers: dict[Heads | None, Reader] = {}
        """By the form of tensors that fit: what makes the record of them. Filled by ``of_tensors``; None has none."""

    def of_scalars(self, values: Sequence[Any]) -> bytes | None:
        """
        The record of JSON values, in the order of columns that are all scalars.

        The packer itself refuses strings, nulls, lists and numbers that do not fit, and JSON brings no NaN; what it
        would take for a number although it is none is a boolean. Four times as fast as asking each converter.
        """
        if not self.is_flat or bool in map(type, values):
            return None
        try:
            if self._levels:
                values = list(values)
                for place, levels in self._levels:
                    values[place] = levels[values[place]]
            return self._packer.pack(*values)
        except UNFIT:
            return None

    def of_values(self, values: Sequence[Any]) -> bytes | None:
        """The same for columns of which some are vectors, each a list."""
        if self.is_flat:
            return self.of_scalars(values)
        if not self._is_nested or len(values) != len(self._columns):
            return None
        flat: list[Any] = []
        for value, column in zip(values, self._columns, strict=True):
            if not column.shape:
                flat.append(value)
            elif type(value) is list and len(value) == column.shape[0]:
                flat += value
            else:
                return None
        return self._pack(flat)

    def of_tensors(self, tensors: list[Tensor], heads: Heads | None = None) -> bytes | None:
        """The record of tensors that are one row, in any order; ``heads`` are theirs, if somebody knows them."""
        if heads is None:
            if len(tensors) == 1:
                (only,) = tensors
                heads = ((only.name, only.datatype, only.shape),)
            else:
                heads = tuple([(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors])
        read = self.readers.get(heads) or self._learn(heads)
        return None if read is None else read(tensors)

    def _learn(self, heads: Heads) -> Reader | None:
        """Remembered only when it fits, so that nobody fills the memory with names of theirs."""
        columns = self._columns
        is_one_row = len(heads) == len(columns) > 0 and heads[0][2][:1] == (1,)
        if not is_one_row or not (self._takes_values or self._takes_raw):
            return None
        places = {name: place for place, (name, _, _) in enumerate(heads)}
        if places.keys() != set(self._names):
            return None
        order = [places[name] for name in self._names]
        takes_values, takes_raw = self._takes_values, self._takes_raw
        for column, place in zip(columns, order, strict=True):
            _, datatype, shape = heads[place]
            if shape != (1, *column.shape) and (column.shape or shape != (1, 1)):
                return None
            takes_raw = takes_raw and datatype == column.datatype.name
            fits = datatype == "BYTES" if column.kind is Kind.CATEGORICAL else datatype in _NUMERIC
            takes_values = takes_values and fits
        if len(self.readers) >= _REMEMBERED:
            self.readers.clear()
        reader = self.readers[heads] = self._reader(order, takes_values=takes_values, takes_raw=takes_raw)
        return reader

    def _reader(self, order: list[int], *, takes_values: bool, takes_raw: bool) -> Reader:
        if len(order) == 1 and takes_values and takes_raw and self._is_short and not self._levels:
            return of_one_short(self._packer, self._strict)
        packed = self._pack_checked if takes_values else _remarkable
        joined = self._joined if takes_raw else _remarkable
        return of_one(packed, joined) if len(order) == 1 else of_several(order, self._values_of, packed, joined)

    def _values_of(self, tensors: Sequence[Tensor]) -> list[Any] | None:
        """All of them one after the other; None when one has too few or too many."""
        if self._scalars:
            try:
                return [value for tensor in tensors for (value,) in [tensor.values]]
            except (TypeError, ValueError):  # raw after all, or not one value
                return None
        flat: list[Any] = []
        for tensor, elements in zip(tensors, self._elements, strict=True):
            if type(tensor.values) is not list or len(tensor.values) != elements:
                return None
            flat += tensor.values
        return flat

    def _pack(self, flat: Any) -> bytes | None:
        """The record of a list with as many values as it has elements; None for anything else."""
        try:
            if self._levels:
                flat = list(flat)
                for place, levels in self._levels:
                    flat[place] = levels[flat[place]]
            if not _NUMBERS.issuperset(map(type, flat)):
                return None
            return self._packer.pack(*flat)
        except UNFIT:
            return None

    def _pack_checked(self, flat: Any) -> bytes | None:
        """The same where NaN may be among them, which JSON does not have."""
        record = self._pack(flat)
        return None if record is None or self._holds_nan(record) else record

    def _joined(self, pieces: list[Any]) -> bytes | None:
        """The record of raw tensors, which are its pieces."""
        try:
            for place, codes in self._framed:
                pieces[place] = codes[bytes(pieces[place])]
            if list(map(len, pieces)) != self._sizes:
                return None
            record = b"".join(pieces)
        except (KeyError, TypeError):
            return None
        return None if self._holds_nan(record) else record

    def _holds_nan(self, record: bytes) -> bool:
        """In a column that may not hold it. Infinities of both signs are taken for it; the general way knows better."""
        if self._is_short:
            total = sum(self._strict.unpack(record))
            return bool(total != total)  # noqa: PLR0124  # NaN is the one value unlike itself
        return any(bool(np.isnan(np.frombuffer(record, dtype)[field]).any()) for field, dtype in self._long)


def _remarkable(_: Any) -> None:
    """What a reader is made of where it does not take this kind of tensor."""


def _format(columns: Sequence[Column], elements: Sequence[int], is_read: Sequence[bool] | None = None) -> str:
    """Of a record, for the struct module; columns that are not read are skipped."""
    parts = []
    for place, (column, count) in enumerate(zip(columns, elements, strict=True)):
        storage = column.storage
        is_skipped = is_read is not None and not is_read[place]
        parts.append(f"{count * storage.size}x" if is_skipped else f"{count}{storage.code}")
    return "<" + "".join(parts)


def _packs_values(column: Column) -> bool:
    """Whether the packer takes nothing for a value of this column that is none, apart from booleans."""
    match column.kind:
        case Kind.FLOAT:
            return True
        case Kind.CATEGORICAL:
            return column.shape == ()
        case Kind.INTEGER:
            return not column.nullable
        case _:
            return False


def _joins_raw(column: Column) -> bool:
    """Whether the raw tensor of one row is a piece of the record, or stands for one."""
    match column.kind:
        case Kind.FLOAT:
            return True
        case Kind.INTEGER:
            return not column.nullable
        case Kind.CATEGORICAL:
            return column.shape == ()
        case _:
            return False


def _codes(column: Column) -> dict[str, int]:
    return {level: code for code, level in enumerate(column.levels)}


def _framed(element: bytes) -> bytes:
    return len(element).to_bytes(4, "little") + element
