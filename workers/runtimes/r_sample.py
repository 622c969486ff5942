"""
Plausible rows, made up from the types, to try an R model with where nobody gave an example.

Numbers are 1, which survives a logarithm and a division, or what the model says is typical; levels go round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workers.runtimes.r_schema import RInput

__all__ = ["made_up_rows"]

_MADE_UP: dict[str, Any] = {"float": 1.0, "integer": 1, "boolean": False, "string": ""}


def made_up_rows(inputs: Sequence[RInput], rows: int) -> tuple[tuple[Any, ...], ...]:
    """As JSON values, in the order of the inputs."""
    return tuple(tuple(_made_up(given, row) for given in inputs) for row in range(rows))


def _made_up(given: RInput, row: int) -> Any:
    column = given.column
    if column.kind == "categorical":
        return column.levels[row % len(column.levels)]
    if given.typical is not None:
        return given.typical if column.kind == "float" else round(given.typical)
    return _MADE_UP[column.kind]
