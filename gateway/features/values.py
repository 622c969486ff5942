"""
Turns the values of one column, in whatever form they came, into the form in which a record stores them.

Each column gets one ``Converter``, made once per signature. It has two ways to the same result: ``one`` for a single
value, which costs a tenth of a microsecond and is what a one-row request takes, and ``many`` for a column at a time,
which numpy does in bulk. Whatever ``many`` cannot vouch for it hands to ``one``, value by value, so that both accept
the same values and the error names the row.

Numbers are accepted where they keep their meaning: an integer for a float column, 3.0 for an integer column, a double
for a single-precision column (rounded, as JSON numbers are). A boolean is never a number, a number never a string.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gateway.core.errors import InvalidInput
from gateway.core.signature import Column, Kind

__all__ = ["Converter", "refuse", "repeated"]

_NA_INTEGER = -(1 << 31)
"""How R stores a missing integer; the only runtime whose integer columns may be nullable."""

_SHOWN = 40
"""Characters of a caller's value that an error repeats."""

_LEVELS_SHOWN = 12


def refuse(column: Column, row: int, expected: str, got: object) -> InvalidInput:
    """The one form of a complaint about a value."""
    shown = "nothing" if got is None else _shown(got)
    return InvalidInput(f'column "{column.name}", row {row}: expected {expected}, got {shown}')


def repeated(where: str, names: Sequence[str]) -> InvalidInput:
    """The complaint about names of which one occurs again."""
    last = {name: place for place, name in enumerate(names)}
    again = next(name for place, name in enumerate(names) if last[name] != place)
    return InvalidInput(f"{where}: expected every name once, got {_shown(again)} again")


class Converter:
    """Values of one column → stored values. ``is_text`` reads numbers from strings, for CSV."""

    __slots__ = ("_levels", "column", "one")

    def __init__(self, column: Column, *, is_text: bool = False) -> None:
        self.column = column
        self._levels: dict[str | bytes, int] = {level: code for code, level in enumerate(column.levels)}
        self._levels |= {level.encode(): code for code, level in enumerate(column.levels)}
        typed: Callable[[Any, int], Any] = {
            Kind.FLOAT: self._float,
            Kind.INTEGER: self._integer,
            Kind.BOOLEAN: self._boolean,
            Kind.STRING: self._string,
            Kind.CATEGORICAL: self._categorical,
        }[column.kind]
        self.one: Callable[[Any, int], Any] = self._from_text(typed) if is_text else typed
        """``one(value, row)``: the stored form of a scalar. Raises ``InvalidInput``."""

    def many(self, values: Sequence[Any] | np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any] | list[Any]:
        """
        The stored forms of ``count`` rows: an array of shape (count, *shape), or a flat list for strings.

        ``values`` holds one (nested) list or scalar per row, or is an array of any shape with count × elements values.
        """
        column = self.column
        if column.kind is Kind.CATEGORICAL and column.shape == () and type(values) is list:
            codes = self._codes(values)
            if codes is not None:
                return codes
        if isinstance(values, np.ndarray):
            array = values
        elif column.shape == () or column.is_text or column.kind is Kind.CATEGORICAL:
            array = self._object_array(values)
        else:
            array = self._nested(values)
        shape = self._per_row(array, count)
        if array.dtype.kind == "O" or column.is_text or column.kind is Kind.CATEGORICAL:
            width = math.prod(shape)
            flat = [self.one(value, i // width) for i, value in enumerate(array.reshape(-1).tolist())] if width else []
            if column.is_text:
                return flat
            return np.array(flat, dtype=column.storage.numpy).reshape(count, *shape)
        return self._cast(array.reshape(count, *shape))

    def _codes(self, values: list[Any]) -> np.ndarray[Any, Any] | None:
        """Positions of the levels when every value is one; None to look at them one by one."""
        try:
            codes = list(map(self._levels.get, values))
        except TypeError:  # a list or an object among them cannot be looked up
            return None
        return None if None in codes else np.array(codes, dtype=np.int32)

    def _per_row(self, array: np.ndarray[Any, Any], count: int) -> tuple[int, ...]:
        """The per-row shape that ``array`` has, checked against the column's."""
        shape = self.column.shape
        got: tuple[int, ...] = array.shape[1:]
        if shape == () and math.prod(got) == 1:
            return ()
        if len(got) == len(shape) and all(want in (-1, have) for want, have in zip(shape, got, strict=True)):
            return got
        raise InvalidInput(
            f'column "{self.column.name}": expected shape {list(shape)} per row, got {list(got)} for {count} rows'
        )

    def _object_array(self, values: Sequence[Any]) -> np.ndarray[Any, Any]:
        """Scalars as they are; a plain run of numbers becomes a number array for the bulk way."""
        if self.column.shape != ():
            array = np.array(values, dtype=object)
            return array if array.ndim > 1 else self._ragged(values)
        types = set(map(type, values))
        kind = self.column.kind
        if types <= {int, float} and (kind is Kind.FLOAT or (kind is Kind.INTEGER and len(types) == 1)):
            try:
                return np.array(values, dtype=np.int64 if types == {int} else np.float64)
            except OverflowError:
                pass
        array = np.empty(len(values), dtype=object)
        # A list of one stands for its value: MLflow and OIP clients send columns as [n, 1].
        array[:] = [v[0] if type(v) is list and len(v) == 1 else v for v in values]
        return array

    def _nested(self, values: Sequence[Any]) -> np.ndarray[Any, Any]:
        try:
            array = np.array(values)
        except (ValueError, OverflowError):
            array = np.array(None)
        if array.dtype.kind in "iuf" and array.ndim == len(self.column.shape) + 1:
            # Beside a double, or one that no signed integer can hold, numpy makes doubles of whole numbers.
            is_exact = array.dtype.kind != "f" or self.column.kind is Kind.FLOAT
            return array if is_exact and not _holds_boolean(values) else np.array(values, dtype=object)
        try:
            array = np.array(values, dtype=object)
        except ValueError:
            return self._ragged(values)
        return array if array.ndim == len(self.column.shape) + 1 else self._ragged(values)

    def _ragged(self, values: Sequence[Any]) -> np.ndarray[Any, Any]:
        expected = f"a list of shape {list(self.column.shape)}"
        for row, value in enumerate(values):
            try:
                shape = np.array(value, dtype=object).shape
            except ValueError:
                raise refuse(self.column, row, expected, "lists of different lengths") from None
            if len(shape) != len(self.column.shape) or any(
                want not in (-1, have) for want, have in zip(self.column.shape, shape, strict=True)
            ):
                raise refuse(self.column, row, expected, f"shape {list(shape)}")
        raise InvalidInput(f'column "{self.column.name}": expected the same shape in every row of a request')

    def _cast(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Numbers in bulk; any value that is not plainly fine is shown to ``one``, which knows what to say."""
        column, target = self.column, self.column.storage.numpy
        fine: np.ndarray[Any, Any]
        if column.kind is Kind.FLOAT and array.dtype.kind in "fiu":
            # A whole number becomes a double first, as it does alone: rounded only once it could be another single.
            numbers = array if array.dtype.kind == "f" else array.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                stored = numbers.astype(target)
            fine = np.isfinite(stored) | (np.isinf(stored) & np.isinf(array.astype(np.float64)))
            if column.nullable:
                fine |= np.isnan(stored)
        elif column.kind is Kind.INTEGER and array.dtype.kind in "fiu":
            low, high = column.storage.bounds
            with np.errstate(invalid="ignore"):
                stored = array.astype(target)
            # 2**63 is a float but no int64: the upper bound is compared as "less than high + 1".
            fine = (array >= low) & (array < float(high) + 1 if array.dtype.kind == "f" else array <= high)
            if array.dtype.kind == "f":
                fine &= array == np.floor(array)
            if column.nullable:
                fine &= array != _NA_INTEGER
        elif column.kind is Kind.BOOLEAN and array.dtype.kind == "b":
            return array
        else:
            stored, fine = np.zeros(array.shape, target), np.zeros(array.shape, bool)
        if not fine.all():
            for index in np.argwhere(~fine).tolist():
                stored[tuple(index)] = self.one(array[tuple(index)].item(), index[0])
        return stored

    def _float(self, value: Any, row: int) -> float:
        if type(value) is float:
            if value == value:  # noqa: PLR0124  # not NaN
                return self._in_range(value, row) if self.column.storage.size < 8 else value
        elif type(value) is int:
            try:
                return self._in_range(float(value), row)
            except OverflowError:
                raise refuse(self.column, row, "a number that fits", value) from None
        elif value is not None:
            raise refuse(self.column, row, "a number", value)
        if self.column.nullable:
            return math.nan
        raise refuse(self.column, row, "a number", value)

    def _in_range(self, value: float, row: int) -> float:
        """A float that does not become infinite in the column's own precision."""
        size = self.column.storage.size
        limit = 3.4028235677973362e38 if size == 4 else 65520.0 if size == 2 else math.inf
        if abs(value) >= limit and not math.isinf(value):
            raise refuse(self.column, row, f"a number that fits {self.column.datatype.name}", value)
        return value

    def _integer(self, value: Any, row: int) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int:
            low, high = self.column.storage.bounds
            if not low <= value <= high or (value == _NA_INTEGER and self.column.nullable):
                raise refuse(self.column, row, f"an integer from {low} to {high}", value)
            return value
        if self.column.nullable and (value is None or (type(value) is float and value != value)):  # noqa: PLR0124
            return _NA_INTEGER
        raise refuse(self.column, row, "an integer", value)

    def _boolean(self, value: Any, row: int) -> bool:
        if type(value) is bool:
            return value
        raise refuse(self.column, row, "true or false", value)

    def _string(self, value: Any, row: int) -> str | None:
        if type(value) is str:
            if "\0" in value:
                raise refuse(self.column, row, "a string without NUL characters", value)
            return value
        if type(value) is bytes:
            return self._string(self._utf8(value, row), row)
        if value is None and self.column.nullable:
            return None
        raise refuse(self.column, row, "a string", value)

    def _categorical(self, value: Any, row: int) -> int:
        if type(value) is str or type(value) is bytes:
            code = self._levels.get(value)
            if code is not None:
                return code
            if type(value) is bytes:
                value = self._utf8(value, row)
        elif value is None and self.column.nullable:
            return -1
        levels = ", ".join(f'"{level}"' for level in self.column.levels[:_LEVELS_SHOWN])
        more = ", …" if len(self.column.levels) > _LEVELS_SHOWN else ""
        raise refuse(self.column, row, f"one of {levels}{more}", value)

    def _utf8(self, value: bytes, row: int) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise refuse(self.column, row, "a string in UTF-8", value) from None

    def _from_text(self, typed: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
        """Read a CSV cell first: empty is missing, and ``NA`` too where no string is wanted."""
        kind = self.column.kind

        def one(cell: Any, row: int) -> Any:
            value: Any = cell
            if kind in (Kind.FLOAT, Kind.INTEGER, Kind.BOOLEAN):
                value = _parsed(cell.strip(), kind)
            elif cell == "" and self.column.nullable:
                value = None
            return typed(value, row)

        return one


def _parsed(cell: str, kind: Kind) -> Any:
    """A number or boolean from text; what cannot be read stays text, which the typed converter then refuses."""
    if cell in ("", "NA", "NaN", "nan"):
        return None
    if kind is Kind.BOOLEAN:
        return {"true": True, "false": False}.get(cell.lower(), cell)
    try:
        return int(cell) if kind is Kind.INTEGER else float(cell)
    except ValueError:
        try:
            return float(cell)
        except ValueError:
            return cell


def _holds_boolean(values: Any) -> bool:
    """Whether a nested list holds a boolean, which numpy would take for a number."""
    return any(_holds_boolean(v) if type(v) is list else type(v) is bool for v in values)


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    if isinstance(value, bool):
        text = str(value).lower()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
