"""The values of keys, out of whatever form a request has: JSON, cells of CSV, tensors."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from gateway.core.payload import Tensor
from gateway.core.rows import Layout
from gateway.core.signature import Column
from gateway.core.tensor import BY_NAME
from gateway.features.tensors import TensorReader
from gateway.features.values import Converter

__all__ = ["KeyReader", "scalar_of"]

_SCALARS = {name: struct.Struct(f"<{datatype.code}") for name, datatype in BY_NAME.items() if datatype.code}


class KeyReader:
    """Values of one entity, in whatever form they came."""

    def __init__(self, column: Column) -> None:
        self._json, self._csv = Converter(column), Converter(column, is_text=True)
        self._tensors = TensorReader(Layout.of((column,)), (self._json,))

    def one(self, value: Any, row: int = 0, *, is_text: bool = False) -> Any:
        if type(value) is bytes:
            return value
        if type(value) is list and len(value) == 1:
            value = value[0]
        return (self._csv if is_text else self._json).one(value, row)

    def many(self, values: list[Any], *, is_text: bool) -> Sequence[Any]:
        if not is_text and {int, str}.issuperset(map(type, values)):
            return values
        return [self.one(value, row, is_text=is_text) for row, value in enumerate(values)]

    def tensor(self, tensor: Tensor, count: int) -> Sequence[Any]:
        column = self._tensors.column(0, tensor, count)
        return column if isinstance(column, list) else column.reshape(-1).tolist()


def scalar_of(tensor: Tensor) -> Any:
    """The value of a tensor that holds one; None for any other, and for what only the careful way can judge."""
    if tensor.shape not in ((1,), (1, 1)):
        return None
    raw = tensor.raw
    if raw is not None:
        code = _SCALARS.get(tensor.datatype)
        if code is not None:
            return code.unpack(raw)[0] if len(raw) == code.size else None
        if tensor.datatype != "BYTES" or len(raw) < 4 or int.from_bytes(raw[:4], "little") != len(raw) - 4:
            return None
        value: Any = bytes(raw[4:])
    else:
        values = tensor.values
        if type(values) is list and len(values) == 1 and type(values[0]) is list:
            values = values[0]
        if not isinstance(values, Sequence) or len(values) != 1:
            return None
        value = values[0]
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    # A number sent as BYTES, or a text as FP64, is for the careful way to refuse.
    return value if (type(value) is str) == (tensor.datatype == "BYTES") else None
