"""
Rows → the output tensors of an Open Inference Protocol answer, for both wires.

Raw bytes are cut out of the records without numpy where one row was asked for, since that is what most requests are:
an answer of one row costs one slice per column. What never changes for a layout (offsets, level names already framed as
BYTES) is worked out once in an ``OutputPlan``.

A missing string or level is an empty element in binary form and null in JSON; NaN is NaN in binary form and null in
JSON, which has no word for it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from gateway.core.errors import InvalidInput
from gateway.core.rows import Layout, Rows
from gateway.core.signature import Column, Kind
from gateway.edge.oip_tensors import frame

__all__ = ["OutputColumn", "OutputPlan"]

_CODE = struct.Struct("<i")


class OutputColumn:
    """One column of an answer as a tensor."""

    __slots__ = ("_element", "_field", "_framed", "_is_whole", "_levels", "_offset", "_size", "_text", "column", "tail")

    def __init__(self, layout: Layout, column: Column) -> None:
        self.column = column
        self.tail = list(column.shape) or [1]
        """The dimensions after the first, which counts rows; a scalar has one of length 1."""
        self._text = layout.texts.index(column) if column.is_text else -1
        self._field, self._offset, self._size = "", 0, 0
        self._is_whole = False
        self._element: struct.Struct | None = None
        if not column.is_text:
            self._field = f"c{layout.fixed.index(column)}"
            assert layout.dtype.fields is not None  # noqa: S101  # it has at least this column
            dtype, self._offset = layout.dtype.fields[self._field][:2]
            self._size = dtype.itemsize
            self._is_whole = self._size == layout.width
            self._element = struct.Struct("<" + column.storage.code) if column.shape == () else None
        # A missing level has code -1, which is the last element of both lists.
        self._levels: list[str | None] | None = None
        self._framed: list[bytes] = []
        if column.kind is Kind.CATEGORICAL:
            self._levels = [*column.levels, None]
            self._framed = [frame((level or "").encode()) for level in self._levels]

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def datatype(self) -> str:
        return self.column.datatype.name

    def shape(self, rows: Rows) -> list[int]:
        return [rows.count, *self.tail]

    def raw(self, rows: Rows) -> bytes:
        """The elements as little-endian bytes."""
        if self._text >= 0:
            return b"".join([frame((value or "").encode()) for value in rows.texts[self._text]])
        if self._levels is not None:
            if rows.count == 1 and self._element is not None:
                code: int = _CODE.unpack_from(rows.records, self._offset)[0]
                return self._framed[code]
            return b"".join([self._framed[code] for code in self._numbers(rows)])
        if self._is_whole:
            return rows.records
        if rows.count == 1:
            return rows.records[self._offset : self._offset + self._size]
        elements: bytes = rows.array()[self._field].tobytes()
        return elements

    def values(self, rows: Rows) -> list[Any]:
        """The elements one by one, row-major: numbers as they are, strings and levels as ``str`` or ``None``."""
        if self._text >= 0:
            return list(rows.texts[self._text])
        numbers = self._numbers(rows)
        return numbers if self._levels is None else [self._levels[code] for code in numbers]

    def _numbers(self, rows: Rows) -> list[Any]:
        if rows.count == 1 and self._element is not None:
            return list(self._element.unpack_from(rows.records, self._offset))
        flat: list[Any] = rows.array()[self._field].reshape(-1).tolist()
        return flat


class OutputPlan:
    """The output tensors of one layout."""

    __slots__ = ("_by_name", "columns")

    def __init__(self, layout: Layout) -> None:
        self.columns: Sequence[OutputColumn] = [OutputColumn(layout, column) for column in layout.columns]
        self._by_name = {column.name: column for column in self.columns}

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(layout: Layout) -> OutputPlan:
        """The plan of this layout, made once."""
        return OutputPlan(layout)

    def pick(self, names: Sequence[str]) -> Sequence[OutputColumn]:
        """The named tensors in the order asked for; all when none is named. Raises ``InvalidInput``."""
        if not names:
            return self.columns
        if len(set(names)) != len(names):
            raise InvalidInput("expected every output to be asked for once")
        for name in names:
            if name not in self._by_name:
                raise InvalidInput(f'output "{name}": expected one of {", ".join(self._by_name)}')
        return [self._by_name[name] for name in names]
