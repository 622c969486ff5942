"""
Payload and signature → rows, the same rows or the same error for every wire form.

Columns are matched by name wherever the request names them, and by position only in a table without names. Columns
that the model does not take are ignored, because two deployments of one endpoint may take different ones; when a
column is missing, the error lists the ones that nobody took, which is where a misspelling shows.

One ``Assembler`` is made per signature. The one-row request is what the latency is about: ``PlainRow`` packs it without
numpy where there is nothing remarkable about it; more rows go column by column.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np

from gateway.core.errors import InvalidInput
from gateway.core.payload import Payload, Records, Table, Tensor, Tensors
from gateway.core.rows import Layout, Rows, Text
from gateway.core.signature import Column, Signature
from gateway.features.plain_row import PlainRow
from gateway.features.tensors import TensorReader
from gateway.features.values import Converter, repeated

__all__ = ["Assembler", "rows_in"]

_FEW_ROWS = 4
"""Up to here packing row by row beats making an array per column (measured: the two meet at 4 to 6 rows)."""

_LISTS = {list}

_REMEMBERED = 256
"""Orders of columns that are kept: callers choose them, so there is a bound."""


class Assembler:
    """Makes the rows of one signature. ``max_rows`` is the most that one request may carry."""

    def __init__(self, signature: Signature, max_rows: int) -> None:
        self._columns = signature.inputs
        self._names = tuple(column.name for column in self._columns)
        self._in_order = list(self._names)
        self._layout = Layout.of(self._columns)
        self._max_rows = max_rows
        self._json = tuple(Converter(column) for column in self._columns)
        self._csv = tuple(Converter(column, is_text=True) for column in self._columns)
        self._tensors = TensorReader(self._layout, self._json)
        self._pick = _picker(self._names)
        self._is_flat = self._layout.packer is not None and not self._layout.texts
        self._packer = self._layout.packer or struct.Struct("")
        self._pickers: dict[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] = {}
        self._plain = plain = PlainRow(self._layout)
        self._of_values = plain.of_scalars if plain.is_flat else plain.of_values
        self._is_vector = len(self._columns) == 1 and self._columns[0].shape != ()

    def __call__(self, payload: Payload) -> Rows:
        """Raises ``InvalidInput`` naming the column, the row (counted from 0) and what was expected."""
        if isinstance(payload, Tensors):
            read = self._plain.readers.get(payload.heads)
            record = read(payload.tensors) if read else self._plain.of_tensors(payload.tensors, payload.heads)
            return self._from_tensors(payload) if record is None else Rows(self._layout, 1, record)
        if isinstance(payload, Records):
            return self._from_records(payload.rows)
        if isinstance(payload, Table):
            return self._from_table(payload)
        return self._from_named(payload.columns)

    # What completing rows needs: values that were put together elsewhere, in the order of the signature.

    def one(self, values: Sequence[Any]) -> Rows | None:
        """One row of values that are just what the columns want; None for any other."""
        record = self._plain.of_scalars(values)
        return None if record is None else Rows(self._layout, 1, record)

    def converters(self, *, is_text: bool) -> tuple[Converter, ...]:
        return self._csv if is_text else self._json

    def rows(self, rows: Sequence[Sequence[Any]], converters: Sequence[Converter]) -> Rows:
        """Rows of values, each column read by its own converter."""
        self.check_count(len(rows))
        return self._from_columns([list(column) for column in zip(*rows, strict=True)], len(rows), converters)

    def tensor(self, place: int, tensor: Tensor, count: int) -> np.ndarray[Any, Any] | Text:
        """The stored form of one input."""
        return self._tensors.column(place, tensor, count)

    def count(self, tensors: Sequence[Tensor]) -> int:
        """Rows of a request that has these tensors."""
        count = self._tensors.count(tensors)
        self.check_count(count)
        return count

    def _from_records(self, records: list[dict[str, Any]]) -> Rows:
        pick = self._pick
        try:
            if len(records) == 1 and (plain := self._of_values(pick(records[0]))) is not None:
                return Rows(self._layout, 1, plain)
            self.check_count(len(records))
            return self._from_values([pick(record) for record in records], self._json)
        except KeyError:
            for row, record in enumerate(records):
                for name in self._names:
                    if name not in record:
                        raise self._missing(name, record, f", row {row}") from None
            raise

    def _from_table(self, table: Table) -> Rows:
        rows = table.rows
        if len(rows) == 1 and (record := self._one_plain(table)) is not None:
            return Rows(self._layout, 1, record)
        self.check_count(len(rows))
        names = self._names
        if table.columns is None:
            if len(names) == 1:
                # A row of the only column may be bare, and with a shape of its own it is the value itself.
                shape = self._columns[0].shape
                rows = [[row] if shape or type(row) is not list else row for row in rows]
            pick = _picker(range(len(names)))
            width = len(names)
        else:
            pick = self._pick_from(table.columns)
            width = len(table.columns)
        for row, values in enumerate(rows):
            if type(values) is not list or len(values) != width:
                got = f"{len(values)} values" if type(values) is list else "no list"
                raise InvalidInput(f"row {row}: expected a list of {width} values, got {got}")
        return self._from_values([pick(values) for values in rows], self._csv if table.is_text else self._json)

    def _one_plain(self, table: Table) -> bytes | None:
        """The record of a one-row table with nothing remarkable about it: what most requests are."""
        columns, row = table.columns, table.rows[0]
        if type(row) is not list or table.is_text:
            return None
        if columns is None:
            if self._is_vector:  # the row is the value
                row = [row]
            return self._of_values(row)
        if columns == self._in_order:
            return self._of_values(row)
        return self._of_values(self._pick_from(columns)(row)) if len(row) == len(columns) else None

    def _pick_from(self, columns: list[str]) -> Callable[[Any], tuple[Any, ...]]:
        """Takes the signature's values out of a row with these columns; remembered, since callers repeat themselves."""
        key = tuple(columns)
        try:
            pick = self._pickers.get(key)
        except TypeError:
            raise InvalidInput("columns: expected a list of names") from None
        if pick is None:
            if not all(type(name) is str for name in columns):
                raise InvalidInput("columns: expected a list of names")
            places = {name: place for place, name in enumerate(columns)}
            if len(places) < len(columns):
                raise repeated("columns", columns)
            for name in self._names:
                if name not in places:
                    raise self._missing(name, places)
            if len(self._pickers) >= _REMEMBERED:
                self._pickers.clear()
            pick = self._pickers[key] = _picker([places[name] for name in self._names])
        return pick

    def _from_named(self, columns: dict[str, Any]) -> Rows:
        try:
            series = self._pick(columns)
            if _LISTS.issuperset(map(type, series)):
                record = self._of_values([value for (value,) in series])
                if record is not None:
                    return Rows(self._layout, 1, record)
        except (KeyError, ValueError):  # a column is missing, or not one row
            pass
        for name in self._names:
            if name not in columns:
                raise self._missing(name, columns)
        wanted = {name: columns[name] for name in self._names}
        count = rows_in(wanted)
        self.check_count(count)
        return self._from_columns(list(wanted.values()), count, self._json)

    def _from_tensors(self, payload: Tensors) -> Rows:
        wanted = payload.tensors
        if [tensor.name for tensor in wanted] != self._in_order:
            wanted = self._by_name(wanted)
        count = self._tensors.count(wanted)
        self.check_count(count)
        records = self._tensors.records(wanted, count)
        if records is not None:
            return Rows(self._layout, count, records)
        return self.stack(self._tensors.columns(wanted, count), count)

    def _by_name(self, given: list[Tensor]) -> list[Tensor]:
        tensors = {tensor.name: tensor for tensor in given}
        if len(tensors) < len(given):
            raise repeated("inputs", [tensor.name for tensor in given])
        for name in self._names:
            if name not in tensors:
                raise self._missing(name, tensors)
        return [tensors[name] for name in self._names]

    def _from_values(self, rows: Sequence[Sequence[Any]], converters: tuple[Converter, ...]) -> Rows:
        """Rows of values in the order of the signature."""
        if not self._is_flat or len(rows) > _FEW_ROWS:
            columns = [list(column) for column in zip(*rows, strict=True)]
            return self._from_columns(columns, len(rows), converters)
        records = []
        for row, values in enumerate(rows):
            record = None if converters is self._csv else self._plain.of_scalars(values)
            if record is None:
                record = self._pack_checked(values, row, converters)
            if record is None:
                # A list of one may stand for its value: the column-wise way knows.
                return self._from_columns([list(column) for column in zip(*rows, strict=True)], len(rows), converters)
            records.append(record)
        return Rows(self._layout, len(rows), records[0] if len(records) == 1 else b"".join(records))

    def _pack_checked(self, values: Sequence[Any], row: int, converters: tuple[Converter, ...]) -> bytes | None:
        """The record of one row, or the complaint about it; None when a value is a list."""
        if any(type(value) is list for value in values):
            return None
        stored = [converter.one(value, row) for converter, value in zip(converters, values, strict=True)]
        return self._packer.pack(*stored)

    def _from_columns(self, columns: Sequence[Sequence[Any]], count: int, converters: Sequence[Converter]) -> Rows:
        many = [converter.many(values, count) for converter, values in zip(converters, columns, strict=True)]
        return self.stack(many, count)

    def stack(self, columns: Sequence[np.ndarray[Any, Any] | Text], count: int) -> Rows:
        """Stored columns side by side: one structured array, and the strings beside it."""
        layout = self._layout
        if not layout.is_resolved:
            layout = layout.with_shapes(
                [
                    column.shape[1:] if isinstance(column, np.ndarray) else _shape_of(column, declared, count)
                    for column, declared in zip(columns, self._columns, strict=True)
                ]
            )
        arrays = [column for column in columns if isinstance(column, np.ndarray)]
        texts = tuple(column for column in columns if not isinstance(column, np.ndarray))
        if len(arrays) == 1:
            return Rows(layout, count, arrays[0].tobytes(), texts)
        table = np.empty(count, dtype=layout.dtype)
        for i, array in enumerate(arrays):
            table[f"c{i}"] = array
        return Rows(layout, count, table.tobytes(), texts)

    def check_count(self, count: int) -> None:
        """Raises ``InvalidInput``."""
        if not 1 <= count <= self._max_rows:
            raise InvalidInput(f"expected 1 to {self._max_rows} rows, got {count}")

    def _missing(self, name: str, given: Iterable[str], row: str = "") -> InvalidInput:
        unused = [f'"{other}"' for other in given if other not in self._names]
        hint = f"; not an input of the model: {', '.join(unused[:8])}" if unused else ""
        return InvalidInput(f'column "{name}"{row}: expected a value, it is missing{hint}')


def rows_in(columns: Mapping[str, Any]) -> int:
    """How many rows these columns have; -1 without any. Raises ``InvalidInput`` for lengths that differ."""
    count = -1
    for name, values in columns.items():
        if type(values) is not list:
            raise InvalidInput(f'column "{name}": expected a list of values, one per row')
        if count not in (-1, len(values)):
            raise InvalidInput(
                f'column "{name}": expected {count} rows as in "{next(iter(columns))}", got {len(values)}'
            )
        count = len(values)
    return count


def _picker(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """``itemgetter`` that gives a tuple for a single key too."""
    if len(keys) == 1:
        only = keys[0]
        return lambda row: (row[only],)
    return itemgetter(*keys)


def _shape_of(text: Text, declared: Column, count: int) -> tuple[int, ...]:
    """What a column of texts has per row: an open length follows from how many there are."""
    shape = declared.shape
    if -1 not in shape:
        return shape
    if shape.count(-1) > 1:
        raise InvalidInput(f'column "{declared.name}": texts with more than one open length are not offered')
    known = -prod(shape) * count  # the product of the others
    return tuple((len(text) // known if known else 0) if length == -1 else length for length in shape)
