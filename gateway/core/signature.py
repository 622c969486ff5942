"""
What a model takes and gives: ordered, named, typed columns.

A column is what a person would call one (``carat``, ``cut``), or a tensor with a shape per row. Five kinds are
enough for R and ONNX: a categorical is a string with a closed list of levels, and it travels as the position of
its level, so a worker never sees a level it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import prod

from gateway.core.tensor import BY_NAME, DataType

__all__ = ["Column", "Kind", "Signature"]


class Kind(Enum):
    """What the values of a column mean."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING = "string"
    CATEGORICAL = "categorical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One named input or output."""

    name: str
    kind: Kind
    datatype: DataType
    """The type that clients see; BYTES for strings and categoricals."""
    shape: tuple[int, ...] = ()
    """Of one row: () for a scalar; -1 is a length that each request chooses."""
    levels: tuple[str, ...] = ()
    """Of a categorical, in the model's order."""
    nullable: bool = False
    """Whether the model itself copes with a missing value (null, NaN)."""

    @property
    def storage(self) -> DataType:
        """How one element lies in a record: the datatype, but INT32 level positions (-1: missing) for a categorical."""
        return BY_NAME["INT32"] if self.kind is Kind.CATEGORICAL else self.datatype

    @property
    def is_text(self) -> bool:
        """Whether its values travel beside the record, because their length varies."""
        return self.kind is Kind.STRING

    @property
    def elements(self) -> int:
        """Number of elements in one row; only for a shape without -1."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The inputs and outputs of one model, each in the model's own order."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    example: tuple[tuple[object, ...], ...] = field(default=(), compare=False)
    """Sample rows, in the order of the inputs, as JSON values; shown in documents and used to warm up."""
