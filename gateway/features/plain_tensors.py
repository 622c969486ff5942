"""
How the tensors of one form become the record of a plain row: a function for each, made once. Pure.

A form is what requests of one caller have in common: names, datatypes and shapes. What can be decided by it is decided
when the function is made, so that for the one tensor that most models take, what is left is to unpack its elements, to
look for NaN and to hand on the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

from gateway.core.payload import Tensor

__all__ = ["UNFIT", "Reader", "of_one", "of_one_short", "of_several"]

Reader: TypeAlias = Callable[[list[Tensor]], bytes | None]
"""The record of the tensors of one form, or None where they are remarkable."""

Packed: TypeAlias = Callable[[Any], bytes | None]
"""The record of a flat list of values, likewise."""

Joined: TypeAlias = Callable[[list[Any]], bytes | None]
"""The record of raw elements, tensor by tensor, likewise."""

UNFIT = (LookupError, TypeError, OverflowError, struct.error)
"""What a value raises that no column of numbers holds."""

_NUMBERS = frozenset((int, float))
_RAW = attrgetter("raw")


def of_one_short(packer: struct.Struct, strict: struct.Struct) -> Reader:
    """
    Of a column of a few numbers, both raw and as values. ``packer`` is that of a record, and ``strict`` reads those
    elements of one that must not be NaN.
    """
    are_numbers, pack, unpack = _NUMBERS.issuperset, packer.pack, strict.unpack

    def read(tensors: list[Tensor]) -> bytes | None:
        raw = tensors[0].raw
        try:
            if raw is None:
                values = tensors[0].values
                if not are_numbers(map(type, values)):
                    return None
                raw = pack(*values)
            total = sum(unpack(raw))  # which refuses raw elements of another length, too
        except UNFIT:
            return None
        return bytes(raw) if total == total else None  # noqa: PLR0124  # NaN is the one value unlike itself

    return read


def of_one(packed: Packed, joined: Joined) -> Reader:
    """Of any other column that stands alone."""

    def read(tensors: list[Tensor]) -> bytes | None:
        (tensor,) = tensors
        return packed(tensor.values) if tensor.raw is None else joined([tensor.raw])

    return read


def of_several(
    order: Sequence[int], values_of: Callable[[Sequence[Tensor]], Any], packed: Packed, joined: Joined
) -> Reader:
    """Of columns whose tensors stand at the places ``order``; ``values_of`` puts their values one after the other."""
    pick = None if list(order) == list(range(len(order))) else itemgetter(*order)

    def read(tensors: list[Tensor]) -> bytes | None:
        columns: Sequence[Tensor] = tensors if pick is None else pick(tensors)
        if columns[0].raw is None:
            return packed(values_of(columns))
        return joined(list(map(_RAW, columns)))

    return read
