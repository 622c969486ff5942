"""
Answer → JSON values. One output gives a bare list of values, one per row; several give a list of records by name.

One-row answers are what the latency is about: while the outputs are short and the rows few, the record is unpacked
without numpy. A missing value and NaN become ``null``; infinities too, because JSON has none.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import chain
from typing import Any

from gateway.core.request import Answer
from gateway.core.rows import Layout, Rows
from gateway.core.signature import Column, Kind

__all__ = ["predictions", "predictions_by_vetiver_name", "vetiver_names"]

_FEW_ROWS = 8

_FEW_ELEMENTS = 64
"""Of a row: beyond it numpy takes the numbers out of the records sooner."""


def predictions(answer: Answer) -> list[Any]:
    """The predictions as ``/score`` and ``/invocations`` show them."""
    rows = answer.rows
    if rows.count <= _FEW_ROWS:
        form = _Form.of(rows.layout)
        if form.is_flat:
            return form.read(rows.records)
    if len(rows.layout.columns) == 1:
        return rows.values(0)
    return _records(rows, [column.name for column in rows.layout.columns])


def predictions_by_vetiver_name(answer: Answer) -> list[dict[str, Any]]:
    """The predictions as a data frame by rows, with the column names that tidymodels gives: ``.pred`` and its kin."""
    rows = answer.rows
    columns = rows.layout.columns
    if all(column.shape == () for column in columns):
        return _records(rows, [names[0] for names in vetiver_names(columns)])
    spread: list[tuple[str, list[Any]]] = []
    for index, names in enumerate(vetiver_names(columns)):
        values = rows.values(index)
        if len(names) == 1:
            spread.append((names[0], values))
        else:
            spread.extend((name, [row[place] for row in values]) for place, name in enumerate(names))
    return [
        dict(zip([name for name, _ in spread], row, strict=True))
        for row in zip(*[values for _, values in spread], strict=True)
    ]


def vetiver_names(columns: tuple[Column, ...]) -> list[list[str]]:
    """
    Per output the name that tidymodels gives it: ``.pred`` for the only number, ``.pred_class`` for the only class,
    ``.pred_<name>`` for anything else. A vector of one number per level of that class, or per position, is spread over
    as many names. A name that begins with ``.pred`` is kept.
    """
    classes = [column for column in columns if column.kind in (Kind.CATEGORICAL, Kind.STRING)]
    numbers = len(columns) - len(classes)
    levels = classes[0].levels if len(classes) == 1 else ()
    named = []
    for column in columns:
        if column.name.startswith(".pred"):
            base = column.name
        elif column in classes:
            base = ".pred_class" if len(classes) == 1 else f".pred_{column.name}"
        elif numbers == 1 and column.shape == ():
            base = ".pred" if not classes else f".pred_{column.name}"
        else:
            base = f".pred_{column.name}"
        if len(column.shape) == 1 and column.shape[0] > 0:
            places = levels if len(levels) == column.shape[0] else [str(i + 1) for i in range(column.shape[0])]
            named.append([f".pred_{place}" if numbers == 1 else f"{base}_{place}" for place in places])
        else:
            named.append([base])
    return named


def _records(rows: Rows, names: list[str]) -> list[dict[str, Any]]:
    columns = [rows.values(index) for index in range(len(rows.layout.columns))]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


class _Form:
    """How the records of one layout become JSON values without numpy; made once per layout."""

    __slots__ = ("_is_bare", "_is_number", "_levels", "_names", "_packer", "_vectors", "is_flat")

    def __init__(self, layout: Layout) -> None:
        columns = layout.columns
        self.is_flat = (
            layout.is_resolved
            and not layout.texts
            and all(len(column.shape) <= 1 for column in columns)
            and 0 < sum(column.elements for column in columns) <= _FEW_ELEMENTS
        )
        """Whether all outputs are scalars or short vectors of fixed size."""
        formats = [f"{column.elements}{column.storage.code}" for column in columns] if self.is_flat else []
        self._packer = struct.Struct("<" + "".join(formats))
        self._names = [column.name for column in columns]
        self._levels: list[tuple[int, tuple[str | None, ...]]] = []
        self._vectors: list[tuple[int, int]] = []
        """Place of the first element and number of elements; the last one first, so that places before it stay."""
        place = 0
        for column in columns if self.is_flat else ():
            if column.kind is Kind.CATEGORICAL:
                # A missing level is -1, and the last of these.
                self._levels += [(place + i, (*column.levels, None)) for i in range(column.elements)]
            if column.shape:
                self._vectors.insert(0, (place, column.elements))
            place += column.elements
        self._is_bare = len(columns) == 1
        self._is_number = self._is_bare and not self._levels and not self._vectors

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(layout: Layout) -> _Form:
        return _Form(layout)

    def read(self, records: bytes) -> list[Any]:
        """Only when ``is_flat``."""
        if self._is_number:
            return list(chain.from_iterable(self._packer.iter_unpack(records)))
        found: list[Any] = []
        for unpacked in self._packer.iter_unpack(records):
            values: Any = unpacked
            if self._levels or self._vectors:
                values = list(unpacked)
                for place, levels in self._levels:
                    values[place] = levels[values[place]]
                for place, elements in self._vectors:
                    values[place : place + elements] = [values[place : place + elements]]
            found.append(values[0] if self._is_bare else dict(zip(self._names, values, strict=True)))
        return found
