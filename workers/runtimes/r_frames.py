"""
Records to a data.frame and back, without a line of R code: 4 columns take some 20 µs where ``data.frame()`` takes 300.

``FrameBuilder`` makes the data.frame out of packed records; ``ResultReader`` copies a named list of vectors into packed
records and checks it on the way: every column there, one value per row, of the expected type. What does not fit is a
``ModelError``, never a guess.

Every new vector is put into its protected frame at once, so that a collection in the next allocation finds it there.
Sizes are bounded before R is asked for memory: R's own refusal would be a longjmp through Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.runtimes.base import Batch, BatchInvalid, ModelError, Result, Text
from workers.runtimes.r_api import INTSXP, LGLSXP, NA_INTEGER, REALSXP, STRSXP, VECSXP, RApi
from workers.runtimes.r_schema import Form, Returned, RInput, ROutput
from workers.schema import Column, Kind, Schema

__all__ = ["MAX_CELLS", "FrameBuilder", "ResultReader"]

MAX_CELLS = 2**24
"""Rows × columns of one batch: 128 MB of doubles."""

_VECTORS: dict[Form, tuple[int, str]] = {
    "double": (REALSXP, "f8"),
    "integer": (INTSXP, "i4"),
    "logical": (LGLSXP, "i4"),
    "factor": (INTSXP, "i4"),
    "character": (STRSXP, "O"),
}
_KINDS: dict[int, Kind] = {REALSXP: "float", INTSXP: "integer", LGLSXP: "boolean", STRSXP: "string"}

Array = npt.NDArray[Any]
Evaluate = Callable[[str], int]
"""R source to the address of its value, preserved for ever."""


class FrameBuilder:
    """Makes the data.frame of a batch; made once per model."""

    def __init__(self, api: RApi, evaluate: Evaluate, inputs: Sequence[RInput]) -> None:
        self._api = api
        self._inputs = tuple(inputs)
        self._dtype = Schema.record(tuple(i.column for i in inputs))
        self._texts = sum(i.column.is_text for i in inputs)
        self._names = _strings(api, [i.column.name for i in inputs])
        self._factors = [_factor(api, evaluate, i) if i.form == "factor" else 0 for i in inputs]
        self._evaluate = evaluate
        self._shells: dict[int, int] = {}
        """Number of rows → an empty data.frame that lends its class and row names."""

    def build(self, batch: Batch) -> int:
        """The data.frame; left protected once. Raises ``BatchInvalid``."""
        rows, api = batch.rows, self._api
        self._check(batch)
        records = (
            np.frombuffer(batch.records, self._dtype, rows) if self._dtype.itemsize else np.empty(rows, self._dtype)
        )
        texts = iter(batch.texts)
        frame: int = api.protect(api.alloc_vector(VECSXP, len(self._inputs)))
        for i, (given, factor) in enumerate(zip(self._inputs, self._factors, strict=True)):
            kind, dtype = _VECTORS[given.form]
            vector = api.alloc_vector(kind, rows)
            api.set_vector_elt(frame, i, vector)
            if kind == STRSXP:
                for row, text in enumerate(next(texts)):
                    api.set_string_elt(vector, row, api.na_string if text is None else api.char(text))
                continue
            cells = np.frombuffer(_memory(api.data(vector), rows * int(dtype[1])), dtype)
            if factor:
                np.add(records[given.column.name], 1, out=cells)
                cells[cells == 0] = NA_INTEGER
                api.copy_attributes(factor, vector)
            else:
                cells[:] = records[given.column.name]
                if given.column.kind == "integer" and given.column.nullable and kind == REALSXP:
                    cells[cells == NA_INTEGER] = np.nan  # as a double that would be a number like any other
        api.set_attrib(frame, api.names, self._names)
        api.copy_attributes(self._shell(rows), frame)
        return frame

    def _check(self, batch: Batch) -> None:
        """Everything that R would answer with a longjmp, or that would read past a buffer."""
        rows = batch.rows
        if rows < 1 or rows * max(1, len(self._inputs)) > MAX_CELLS:
            raise BatchInvalid(f"{rows} rows of {len(self._inputs)} columns: expected at most {MAX_CELLS} values")
        if len(batch.records) != rows * self._dtype.itemsize:
            expected = rows * self._dtype.itemsize
            raise BatchInvalid(f"{len(batch.records)} bytes for {rows} rows: expected {expected}")
        if len(batch.texts) != self._texts or any(len(text) != rows for text in batch.texts):
            raise BatchInvalid(f"expected {self._texts} text columns of {rows} values each")
        if any(text is not None and "\0" in text for column in batch.texts for text in column):
            raise BatchInvalid("a text holds a NUL character, which R cannot")
        for given, factor in zip(self._inputs, self._factors, strict=True):
            if factor:
                codes = np.frombuffer(batch.records, self._dtype, rows)[given.column.name]
                if codes.max() >= len(given.column.levels) or codes.min() < -1:
                    raise BatchInvalid(f'column "{given.column.name}" has {len(given.column.levels)} levels')

    def _shell(self, rows: int) -> int:
        shell = self._shells.get(rows)
        if shell is None:
            shell = self._shells[rows] = self._evaluate(
                f"structure(list(), class = 'data.frame', row.names = c(NA_integer_, -{rows}L))"
            )
        return shell


class ResultReader:
    """Copies what the model returned; made once per model."""

    def __init__(self, api: RApi, outputs: Sequence[ROutput]) -> None:
        self._api = api
        self._outputs = tuple(outputs)
        self._columns = tuple(o.column for o in outputs)
        self._dtype = Schema.record(self._columns)
        sources = _strings(api, [o.source for o in outputs])
        self._sources = [api.string_elt(sources, i) for i in range(len(self._outputs))]
        """R keeps one copy of each string, so addresses compare like texts."""
        self._levels: list[dict[str, int]] = [{name: i for i, name in enumerate(c.levels)} for c in self._columns]
        self._same_levels: set[tuple[int, int]] = set()
        """Output and address of a levels vector that was compared before, and is preserved since."""
        self._is_plain = len(outputs) == 1 and self._columns[0].datatype == "FP64"

    def read(self, value: int, rows: int) -> Result:
        """``value`` must be protected. Raises ``ModelError``."""
        api = self._api
        found = self._found(value)
        if self._is_plain:
            vector = found[0]
            if api.type_of(vector) == REALSXP and api.length(vector) == rows:
                return Result(ctypes.string_at(api.data(vector), 8 * rows))
        records = np.empty(rows, self._dtype)
        texts: list[Text] = []
        for i, (column, vector) in enumerate(zip(self._columns, found, strict=True)):
            if api.length(vector) != rows:
                raise ModelError(f'the model returned {api.length(vector)} values of "{column.name}" for {rows} rows')
            if column.is_text:
                texts.append(self._text(column, vector))
            elif column.kind == "categorical":
                records[column.name] = self._codes(i, column, vector)
            else:
                records[column.name] = self._numbers(column, vector)
        return Result(records.tobytes(), texts)

    @staticmethod
    def describe(api: RApi, value: int, rows: int) -> tuple[Returned, ...]:
        """The columns of a value that the model returned for ``rows`` sample rows. Raises ``ModelError``."""
        names = api.get_attrib(value, api.names) if api.type_of(value) == VECSXP else api.nil
        if names == api.nil:
            raise ModelError("the model returned no named columns")
        found = []
        for i, name in enumerate(api.strings(names)):
            vector = api.vector_elt(value, i)
            levels = api.get_attrib(vector, api.levels)
            kind = "categorical" if levels != api.nil else _KINDS.get(api.type_of(vector))
            if kind is None or not name:
                raise ModelError(f'the model returned something in "{name}" that is no vector of numbers or texts')
            if api.length(vector) != rows:
                raise ModelError(f'the model returned {api.length(vector)} values in "{name}" for {rows} rows')
            texts = tuple(level or "" for level in api.strings(levels)) if kind == "categorical" else ()
            found.append(Returned(name=name, kind=kind, levels=texts))
        return tuple(found)

    def _found(self, value: int) -> list[int]:
        api = self._api
        names = api.get_attrib(value, api.names) if api.type_of(value) == VECSXP else api.nil
        if names == api.nil:
            raise ModelError("the model returned something else than the columns that it returned at load")
        places = {api.string_elt(names, i): i for i in range(api.length(names))}
        try:
            return [api.vector_elt(value, places[source]) for source in self._sources]
        except KeyError:
            got = ", ".join(f'"{name}"' for name in api.strings(names))
            wanted = ", ".join(f'"{o.source}"' for o in self._outputs)
            raise ModelError(f"the model returned the columns {got}; expected {wanted}") from None

    def _raw(self, vector: int, dtype: str) -> Array:
        size = self._api.length(vector) * int(dtype[1])
        return np.frombuffer(_memory(self._api.data(vector), size), dtype)

    def _numbers(self, column: Column, vector: int) -> Array:
        api, wanted = self._api, column.numpy
        kind = api.type_of(vector)
        if kind not in (REALSXP, INTSXP, LGLSXP) or self._api.get_attrib(vector, api.levels) != api.nil:
            raise ModelError(f'the model returned no numbers in "{column.name}"')
        values = self._raw(vector, "f8" if kind == REALSXP else "i4")
        is_missing = np.isnan(values) if kind == REALSXP else values == NA_INTEGER
        if wanted.kind == "f":
            return values if kind == REALSXP else np.where(is_missing, np.nan, values)
        if is_missing.any():
            raise ModelError(f'the model returned a missing value in "{column.name}", which is {column.kind}')
        cast = values.astype(wanted)
        if (cast != values).any():
            raise ModelError(f'the model returned a value in "{column.name}" that is no {wanted.name}')
        return cast

    def _codes(self, output: int, column: Column, vector: int) -> Array:
        api = self._api
        kind = api.type_of(vector)
        if kind == STRSXP:
            return np.array([self._code(output, column, text) for text in api.strings(vector)], "i4")
        levels = api.get_attrib(vector, api.levels)
        if kind != INTSXP or levels == api.nil:
            raise ModelError(f'the model returned no factor in "{column.name}"')
        codes = np.maximum(self._raw(vector, "i4"), 0) - 1
        if (output, levels) in self._same_levels:
            return codes
        names = api.strings(levels)
        if tuple(names) == column.levels:
            if len(self._same_levels) < 64:
                api.preserve(levels)
                self._same_levels.add((output, levels))
            return codes
        return np.array([self._code(output, column, names[code] if code >= 0 else None) for code in codes], "i4")

    def _code(self, output: int, column: Column, name: str | None) -> int:
        if name is None:
            return -1
        try:
            return self._levels[output][name]
        except KeyError:
            raise ModelError(f'the model returned a level of "{column.name}" that it did not declare') from None

    def _text(self, column: Column, vector: int) -> Text:
        api = self._api
        kind = api.type_of(vector)
        if kind == STRSXP:
            return api.strings(vector)
        levels = api.get_attrib(vector, api.levels)
        if kind != INTSXP or levels == api.nil:
            raise ModelError(f'the model returned no text in "{column.name}"')
        names = [None, *api.strings(levels)]
        return [names[code] for code in np.maximum(self._raw(vector, "i4"), 0)]


def _memory(address: int, size: int) -> memoryview:
    """The bytes of a vector of R, without a copy; valid while R keeps the vector."""
    return memoryview((ctypes.c_char * size).from_address(address))


def _strings(api: RApi, values: Sequence[str]) -> int:
    """A preserved character vector."""
    vector: int = api.protect(api.alloc_vector(STRSXP, len(values)))
    for i, value in enumerate(values):
        api.set_string_elt(vector, i, api.char(value))
    api.preserve(vector)
    api.unprotect(1)
    return vector


def _factor(api: RApi, evaluate: Evaluate, given: RInput) -> int:
    """An empty preserved factor that lends its levels and class."""
    classes = "c('ordered', 'factor')" if given.is_ordered else "'factor'"
    prototype = evaluate(f"structure(integer(), class = {classes})")
    api.set_attrib(prototype, api.levels, _strings(api, given.column.levels))
    return prototype
