"""
Batches nobody sent: made from the example rows of a schema, or from neutral values, to warm a model up.

Made from the schema alone, so it serves every runtime. The example is somebody's promise that these rows can be
scored; neutral rows (zeros, the first level, empty strings, one element for an open length) promise nothing. What is
said where an example does not fit its columns, or cannot be scored, is worded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np

from workers.runtimes.base import Batch, LoadError, Text
from workers.schema import Column, Schema

__all__ = ["example_batch", "neutral_batch", "refusal", "sample_batch"]


def neutral_batch(inputs: Sequence[Column], rows: int) -> Batch:
    """``rows`` rows of zeros."""
    shapes = [tuple(1 if dim == -1 else dim for dim in column.shape) for column in inputs]
    record = _record(inputs, shapes)
    texts: list[Text] = [
        [""] * (rows * int(np.prod(shape, dtype=int)))
        for column, shape in zip(inputs, shapes, strict=True)
        if column.is_text
    ]
    return Batch(rows, bytes(record.itemsize * rows), texts, _told(inputs, shapes))


def example_batch(inputs: Sequence[Column], example: Sequence[Sequence[Any]], rows: int) -> Batch:
    """
    The example rows over and over until there are ``rows``; of rows that differ in an open length only the first.
    Raises ``LoadError`` naming the row and the column of a value that does not fit.
    """
    cells = [
        [_cell(column, value, i) for column, value in zip(inputs, row, strict=True)] for i, row in enumerate(example)
    ]
    if any(a.shape != b.shape for row in cells for a, b in zip(row, cells[0], strict=True)):
        cells = cells[:1]
    shapes = [cell.shape for cell in cells[0]]
    chosen = list(islice(cycle(cells), rows))
    record = np.zeros(rows, dtype=_record(inputs, shapes))
    texts: list[Text] = []
    for i, column in enumerate(inputs):
        values = [row[i] for row in chosen]
        if column.is_text:
            texts.append([element for value in values for element in value.reshape(-1).tolist()])
        else:
            record[f"f{i}"] = np.stack(values)
    return Batch(rows, record.tobytes(), texts, _told(inputs, shapes))


def sample_batch(schema: Schema, rows: int) -> Batch:
    """From the example if there is one, else neutral."""
    if schema.example:
        return example_batch(schema.inputs, schema.example, rows)
    return neutral_batch(schema.inputs, rows)


def refusal(model: str, rows: int, error: Exception, *, is_made_up: bool) -> LoadError:
    """Of a model that cannot score so many rows of its example, which ``is_made_up`` where nobody gave one."""
    what, hint = "the example", ""
    if is_made_up:
        what, hint = "a made-up row", '; if the model needs real ones, give some as "example" in signature.json'
    return LoadError(f"{model}: {what} cannot be scored ({rows} rows at once): {error}{hint}")


def _record(inputs: Sequence[Column], shapes: Sequence[tuple[int, ...]]) -> np.dtype[Any]:
    shaped = enumerate(zip(inputs, shapes, strict=True))
    return np.dtype([(f"f{i}", column.numpy, shape) for i, (column, shape) in shaped if not column.is_text])


def _told(inputs: Sequence[Column], shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]] | None:
    return shapes if any(-1 in column.shape for column in inputs) else None


def _cell(column: Column, value: Any, row: int) -> np.ndarray[Any, np.dtype[Any]]:
    """One JSON value (nested lists for a shape) as an array of the column's stored type."""
    where = f'signature.json: example[{row}]: column "{column.name}"'
    cells = np.array(_element_map(column, value, where), dtype=object)
    if cells.ndim != len(column.shape) or any(
        want not in (-1, got) for want, got in zip(column.shape, cells.shape, strict=True)
    ):
        raise LoadError(f"{where}: expected shape {list(column.shape)}, got {list(cells.shape)}")
    if column.is_text:
        return cells
    try:
        return cells.astype(column.numpy)
    except (TypeError, ValueError, OverflowError) as error:
        raise LoadError(f"{where}: expected {column.datatype}: {error}") from error


def _element_map(column: Column, value: Any, where: str) -> Any:
    if isinstance(value, list | tuple):
        return [_element_map(column, inner, where) for inner in value]
    return _element(column, value, where)


def _element(column: Column, value: Any, where: str) -> Any:
    if value is None:
        if not column.nullable:
            raise LoadError(f"{where}: null, but the column is not nullable")
        match column.kind:
            case "float":
                return float("nan")
            case "categorical":
                return -1
            case "string":
                return None
            case _:
                raise LoadError(f"{where}: expected {column.kind}, got null")
    match column.kind:
        case "categorical" if value in column.levels:
            return column.levels.index(value)
        case "string" if isinstance(value, str):
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "float" if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        case "categorical":
            raise LoadError(f"{where}: expected one of {', '.join(column.levels)}")
    raise LoadError(f"{where}: expected {column.kind}")
