"""
The element types of the Open Inference Protocol, and how each is stored in a record.

Source: Open Inference Protocol v2, "Tensor Data Types". All numbers are little-endian without padding. BF16 is left
out: neither numpy nor R can hold it, and no supported runtime would gain from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["BY_NAME", "DataType"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataType:
    """One element type. ``size`` is in bytes; 0 marks BYTES, whose elements vary in length."""

    name: str
    code: str
    """Format character of the struct module; empty for BYTES."""
    size: int

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The little-endian numpy type; for BYTES the object type."""
        return np.dtype("<" + self.code) if self.code else np.dtype(object)

    @property
    def is_float(self) -> bool:
        return self.code in ("e", "f", "d")

    @property
    def is_integer(self) -> bool:
        return self.code in ("b", "h", "i", "q", "B", "H", "I", "Q")

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value of an integer type."""
        info = np.iinfo(self.numpy.str)
        return int(info.min), int(info.max)


BY_NAME: dict[str, DataType] = {
    name: DataType(name=name, code=code, size=size)
    for name, code, size in (
        ("BOOL", "?", 1),
        ("UINT8", "B", 1),
        ("UINT16", "H", 2),
        ("UINT32", "I", 4),
        ("UINT64", "Q", 8),
        ("INT8", "b", 1),
        ("INT16", "h", 2),
        ("INT32", "i", 4),
        ("INT64", "q", 8),
        ("FP16", "e", 2),
        ("FP32", "f", 4),
        ("FP64", "d", 8),
        ("BYTES", "", 0),
    )
}
