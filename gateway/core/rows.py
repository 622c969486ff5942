"""
Rows as records: the one form in which data moves through the gateway and to the workers.

A row is a record of fixed width: its columns one after the other, little-endian, without padding. Then joining the
rows of many callers is one ``bytes.join``, taking one caller's rows out of a batch is one slice, and a batch for a
model with a single float matrix *is* the matrix. Per one-row request that is one ``struct.pack`` where columns would
cost an array each. Only strings without levels vary in length; they travel beside the records, a list per column.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from msgspec import Struct

from gateway.core.errors import InvalidInput
from gateway.core.signature import Column, Kind

__all__ = ["Layout", "Rows", "Text"]

Text = list[str | None]
"""The values of one string column, ``None`` where missing."""


class Layout:
    """Where each column lies in a record. Make one per signature and compare by identity: ``Layout.of`` interns."""

    __slots__ = ("columns", "dtype", "fixed", "is_resolved", "packer", "texts", "width")

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self.columns = columns
        self.fixed = tuple(c for c in columns if not c.is_text)
        self.texts = tuple(c for c in columns if c.is_text)
        self.is_resolved = all(-1 not in c.shape for c in columns)
        """False while a column has a length that each request chooses; such a layout holds no rows."""
        if self.is_resolved:
            self.dtype = np.dtype([(f"c{i}", c.storage.numpy, c.shape) for i, c in enumerate(self.fixed)])
        else:
            self.dtype = np.dtype([])
        self.width = self.dtype.itemsize
        scalars = all(c.shape == () for c in columns)
        self.packer: struct.Struct | None = (
            struct.Struct("<" + "".join(c.storage.code for c in self.fixed)) if scalars and self.is_resolved else None
        )
        """Packs and unpacks one record whose columns are all scalars; None when one of them is not."""

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(columns: tuple[Column, ...]) -> Layout:
        """The layout of these columns; the same columns give the same object."""
        return Layout(columns)

    def with_shapes(self, shapes: Sequence[tuple[int, ...]]) -> Layout:
        """This layout with each column's per-row shape replaced, for columns that leave a length open."""
        resized = []
        for column, shape in zip(self.columns, shapes, strict=True):
            fits = len(shape) == len(column.shape) and all(
                want in (-1, got) for want, got in zip(column.shape, shape, strict=True)
            )
            if not fits:
                raise InvalidInput(
                    f'column "{column.name}": expected shape {list(column.shape)} per row, got {list(shape)}'
                )
            resized.append(
                Column(
                    name=column.name,
                    kind=column.kind,
                    datatype=column.datatype,
                    shape=shape,
                    levels=column.levels,
                    nullable=column.nullable,
                )
            )
        try:
            return Layout.of(tuple(resized))
        except ValueError as error:  # numpy's own limit, reached without bytes where another length is 0
            raise InvalidInput("expected lengths that make less than 2 GiB per row") from error


class Rows(Struct, gc=False):
    """
    ``count`` records of one layout. A ``Struct`` as requests are: one is made per request and per batch. ``gc=False``
    because nothing in it leads back to it: the collector need not look.
    """

    layout: Layout
    count: int
    records: bytes
    """``count * layout.width`` bytes."""
    texts: tuple[Text, ...] = ()
    """One list of ``count × elements`` values per column of ``layout.texts``, row by row."""

    def cut(self, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop`` as rows of their own."""
        width = self.layout.width
        texts = tuple(
            text[start * column.elements : stop * column.elements]
            for text, column in zip(self.texts, self.layout.texts, strict=True)
        )
        return Rows(self.layout, stop - start, self.records[start * width : stop * width], texts)

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """The rows of all parts in order; the parts must share one layout."""
        if len(parts) == 1:
            return parts[0]
        layout = parts[0].layout
        texts = tuple([value for part in parts for value in part.texts[i]] for i in range(len(layout.texts)))
        return Rows(layout, sum(part.count for part in parts), b"".join([part.records for part in parts]), texts)

    def array(self) -> np.ndarray[Any, np.dtype[Any]]:
        """The records as a read-only structured array; field ``c<i>`` is the i-th column of ``layout.fixed``."""
        return np.frombuffer(self.records, dtype=self.layout.dtype, count=self.count)

    def values(self, index: int) -> list[Any]:
        """Column ``index`` as JSON-ready values, one per row: levels by name, missing and NaN as ``None``."""
        column = self.layout.columns[index]
        if column.is_text:
            text = self.texts[self.layout.texts.index(column)]
            if column.shape == ():
                return list(text)
            nested: list[Any] = np.array(text, dtype=object).reshape(self.count, *column.shape).tolist()
            return nested
        plain: list[Any] = self.array()[f"c{self.layout.fixed.index(column)}"].tolist()
        if column.kind is Kind.CATEGORICAL:
            return _named(plain, column.levels)
        return _without_nan(plain) if column.datatype.is_float else plain


def _named(codes: list[Any], levels: tuple[str, ...]) -> list[Any]:
    return [_named(code, levels) if isinstance(code, list) else (levels[code] if code >= 0 else None) for code in codes]


def _without_nan(values: list[Any]) -> list[Any]:
    return [
        _without_nan(value) if isinstance(value, list) else (value if value == value else None)  # noqa: PLR0124  # NaN is the one value unlike itself
        for value in values
    ]
