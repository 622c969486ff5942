"""One input or output of an ONNX graph as the session tells it, and which column it makes when nothing else is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.schema import NUMPY, Column, Kind

__all__ = ["TensorInfo", "kind_of"]

_DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(float16)": "FP16",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """``dims`` with None for a length that the graph leaves open."""

    name: str
    type: str
    """In ONNX Runtime's words, such as ``tensor(float)`` or ``seq(map(int64,tensor(float)))``."""
    dims: tuple[int | None, ...]

    @staticmethod
    def of(argument: Any) -> TensorInfo:
        """From a ``NodeArg`` of a session."""
        dims = tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in argument.shape or ())
        return TensorInfo(argument.name, argument.type, dims)

    @property
    def datatype(self) -> str | None:
        """The OIP datatype; None for what no record can hold."""
        return _DATATYPES.get(self.type)

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(NUMPY[_DATATYPES[self.type]])

    @property
    def trailing(self) -> tuple[int, ...]:
        """The dimensions of one row, -1 where open."""
        return tuple(-1 if dim is None else dim for dim in self.dims[1:])

    @property
    def is_scalar(self) -> bool:
        """Whether one row is one element: ``[N]`` or ``[N, 1]``."""
        return self.trailing in ((), (1,))

    def column(self) -> Column:
        """The column that this tensor is when nobody declares another; only where ``datatype`` is not None."""
        datatype = _DATATYPES[self.type]
        return Column(
            name=self.name,
            kind=kind_of(datatype),
            datatype=datatype,
            shape=() if self.is_scalar else self.trailing,
        )


def kind_of(datatype: str) -> Kind:
    """The kind that values of this datatype have by themselves."""
    match datatype:
        case "BYTES":
            return "string"
        case "BOOL":
            return "boolean"
        case "FP16" | "FP32" | "FP64":
            return "float"
        case _:
            return "integer"
