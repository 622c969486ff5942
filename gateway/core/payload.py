"""
What an edge codec found in a request body, before anybody looked at it against a signature.

Five forms cover every wire: a list of named rows, a table with or without column names, named columns, and typed
tensors. ``gateway.features.assemble`` turns each into the same rows or the same error. They are ``Struct``s as requests
are: made without a line of Python.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct

__all__ = ["Named", "Payload", "Records", "Table", "Tensor", "Tensors"]


class Records(Struct):
    """One mapping of column name to JSON value per row."""

    rows: list[dict[str, Any]]


class Table(Struct):
    """A list of JSON values per row, in the order of ``columns``, or of the signature when ``columns`` is None."""

    columns: list[str] | None
    rows: list[Any]
    """Each row a list; a bare value stands for a row of one."""
    is_text: bool = False
    """All cells are strings as in CSV: numbers still have to be read, an empty cell is a missing value."""


class Named(Struct):
    """One list of JSON values per column name, all of the same length."""

    columns: dict[str, Any]


class Tensor(Struct):
    """One named tensor; the first dimension counts rows. Either ``raw`` or ``values`` is set."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | memoryview | None = None
    """Little-endian elements; for BYTES each preceded by its length as uint32 (OIP binary tensor data)."""
    values: Any = None
    """A flat or nested list of JSON values, or of bytes for BYTES."""


class Tensors(Struct):
    """Named tensors in the order of the request."""

    tensors: list[Tensor]
    heads: tuple[tuple[str, str, tuple[int, ...]], ...] | None = None
    """Name, datatype and shape of each, where whoever made them has that at hand; nothing else may stand here."""


Payload: TypeAlias = Records | Table | Named | Tensors
