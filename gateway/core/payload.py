"""
What an edge codec found in a request body, before anybody looked at it against a signature.

Five forms cover every wire: a list of named rows, a table with or without column names, named columns, and typed
tensors. ``gateway.features.assemble`` turns each into the same rows or the same error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Named", "Payload", "Records", "Table", "Tensor", "Tensors"]


@dataclass(slots=True)
class Records:
    """One mapping of column name to JSON value per row."""

    rows: list[dict[str, Any]]


@dataclass(slots=True)
class Table:
    """A list of JSON values per row, in the order of ``columns``, or of the signature when ``columns`` is None."""

    columns: list[str] | None
    rows: list[Any]
    """Each row a list; a bare value stands for a row of one."""
    is_text: bool = False
    """All cells are strings as in CSV: numbers still have to be read, an empty cell is a missing value."""


@dataclass(slots=True)
class Named:
    """One list of JSON values per column name, all of the same length."""

    columns: dict[str, Any]


@dataclass(slots=True)
class Tensor:
    """One named tensor; the first dimension counts rows. Either ``raw`` or ``values`` is set."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | memoryview | None = None
    """Little-endian elements; for BYTES each preceded by its length as uint32 (OIP binary tensor data)."""
    values: Any = None
    """A flat or nested list of JSON values, or of bytes for BYTES."""


@dataclass(slots=True)
class Tensors:
    """Named tensors in the order of the request."""

    tensors: list[Tensor]


Payload: TypeAlias = Records | Table | Named | Tensors
