"""
Rows to try a model with at load: the sample rows of ``signature.json``, or plausible ones made up from the types.

Made-up numbers are 1, which survives a logarithm and a division, or what the model says is typical; levels go round.
The rows show which columns a model returns, and let R compile its code before the first request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workers.runtimes.base import Batch, LoadError
from workers.runtimes.r_schema import RInput
from workers.schema import Schema

__all__ = ["made_up_row", "sample_batch"]

_MADE_UP: dict[str, Any] = {"float": 1.0, "integer": 1, "boolean": False, "string": ""}


def sample_batch(inputs: Sequence[RInput], example: Sequence[Sequence[Any]], rows: int) -> Batch:
    """``rows`` rows, the examples in turn. Raises ``LoadError`` for an example that does not fit its column."""
    columns = tuple(given.column for given in inputs)
    records = np.empty(rows, Schema.record(columns))
    texts = []
    for i, column in enumerate(columns):
        values = [example[row % len(example)][i] for row in range(rows)] if example else None
        if column.kind == "categorical":
            levels = values or [column.levels[row % len(column.levels)] for row in range(rows)]
            codes: dict[Any, int] = {level: code for code, level in enumerate(column.levels)}
            unknown = [level for level in levels if level is not None and level not in codes]
            if unknown:
                raise LoadError(f'signature.json: example: "{column.name}" has no level {unknown[0]!r}')
            values = [codes.get(level, -1) for level in levels]
        elif values is None:
            values = [_made_up(inputs[i])] * rows
        if column.is_text:
            texts.append([None if value is None else str(value) for value in values])
            continue
        try:
            records[column.name] = [np.nan if v is None else v for v in values] if column.kind == "float" else values
        except (TypeError, ValueError, OverflowError) as error:
            raise LoadError(f'signature.json: example: "{column.name}": {error}') from error
    return Batch(rows, records.tobytes(), texts)


def made_up_row(inputs: Sequence[RInput]) -> tuple[Any, ...]:
    """One row as JSON values, for documents, where nobody gave an example."""
    return tuple(given.column.levels[0] if given.column.kind == "categorical" else _made_up(given) for given in inputs)


def _made_up(given: RInput) -> Any:
    if given.typical is not None:
        return given.typical if given.column.kind == "float" else round(given.typical)
    return _MADE_UP[given.column.kind]
