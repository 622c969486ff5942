"""
What a model takes and gives, as the worker sees it: read from the model, checked against ``signature.json``.

The gateway has its own copy of these ideas (``gateway.core.signature``) because the two import nothing of each
other; the wire between them is ``Column`` of worker.proto. The layout of a record follows from the columns alone:
one after the other, little-endian, packed, categoricals as INT32 level positions (-1: missing), strings beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np

from workers.wire.v1 import worker_pb2 as wire

__all__ = ["NUMPY", "Column", "Kind", "Schema"]

Kind = Literal["float", "integer", "boolean", "string", "categorical"]

NUMPY: dict[str, str] = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}
"""OIP datatype → numpy type of one element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One named input or output; see ``gateway.core.signature.Column`` for the same words."""

    name: str
    kind: Kind
    datatype: str
    shape: tuple[int, ...] = ()
    levels: tuple[str, ...] = ()
    nullable: bool = False

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type of one stored element; object for strings, which are not in the record."""
        return np.dtype("<i4" if self.kind == "categorical" else NUMPY[self.datatype])

    @property
    def is_text(self) -> bool:
        return self.kind == "string"

    @property
    def elements(self) -> int:
        return prod(self.shape)

    def to_wire(self) -> wire.Column:
        return wire.Column(
            name=self.name,
            kind=self.kind,
            datatype=self.datatype,
            shape=self.shape,
            levels=self.levels,
            nullable=self.nullable,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Inputs and outputs in the model's order."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    example: tuple[tuple[Any, ...], ...] = field(default=(), compare=False)
    """Sample rows in the order of the inputs, as JSON values."""

    @staticmethod
    def record(columns: tuple[Column, ...]) -> np.dtype[Any]:
        """The packed structured type of one record: a field per column that is not text, under the column's name."""
        return np.dtype([(c.name, c.numpy, c.shape) for c in columns if not c.is_text])
