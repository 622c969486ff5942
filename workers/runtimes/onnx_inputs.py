"""
From records to the input tensors of an ONNX graph: checked once against the model, then a few views per batch.

Three ways, in the order in which they are tried:

- *matrix*: the graph has one input ``[N, F]`` and ``signature.json`` declares F scalar columns. Of one datatype they
  make a record that *is* the matrix row: no copy unless the datatype differs.
- *tensor*: a declared column, or one that the graph speaks for itself, feeds the input of its name.
- *levels*: a categorical column hands a string input its level, and a numeric input its position.

A missing value is NaN for a float, position -1 (NaN in a float matrix) for a numeric categorical and the empty
string for text: ONNX knows no other. Casting follows MLflow: what is declared FP64 and wanted as float32 is cast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from workers.runtimes.base import Batch, BatchInvalid, LoadError
from workers.runtimes.onnx_tensor import TensorInfo
from workers.schema import Column
from workers.signature_file import SignatureColumn

__all__ = ["InputPlan", "plan_inputs"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Record: TypeAlias = np.dtype[Any]
Feed: TypeAlias = Callable[[Batch, Array], Array]
"""One tensor from a batch and the batch's records as a structured array, field ``f<i>`` being the i-th column."""

_NO_FIELDS = np.empty(0, dtype=np.dtype([]))
"""The records of a model whose columns are all text."""
_DEFAULTS = {"float": "FP32", "integer": "INT64", "boolean": "BOOL", "string": "BYTES", "categorical": "BYTES"}


class InputPlan:
    """How the columns of one model become its tensors."""

    def __init__(
        self, columns: tuple[Column, ...], feeds: dict[str, Feed], max_rows: int, units: Sequence[bool] = ()
    ) -> None:
        self.columns = columns
        self._whole = next(((name, feed) for name, feed in feeds.items() if isinstance(feed, _Whole)), None)
        """The one input, if the records are its tensor."""
        self.max_rows = max_rows
        """1 where the graph fixes the first dimension at 1, else 0."""
        self._feeds = feeds
        self._units = tuple(units) or (False,) * len(columns)
        """Whether a scalar column is wanted as ``[N, 1]``: read that way at once, it needs no reshaping."""
        is_open = any(-1 in column.shape for column in columns)
        self._record = None if is_open else self._record_of([column.shape for column in columns])

    def feed(self, batch: Batch) -> dict[str, Array]:
        """The input tensors of ``batch``; raises ``BatchInvalid``."""
        if self._whole is not None:
            name, whole = self._whole
            return {name: whole(batch, _NO_FIELDS)}
        record = self._record if self._record is not None else self._record_of(batch.shapes or ())
        table = np.frombuffer(batch.records, record) if record.itemsize else _NO_FIELDS
        return {name: feed(batch, table) for name, feed in self._feeds.items()}

    def _record_of(self, shapes: Sequence[tuple[int, ...]]) -> Record:
        """The packed record with fields by position: names of columns are free text, and numpy reserves some."""
        shaped = enumerate(zip(self.columns, shapes, self._units, strict=True))
        fields = [(f"f{i}", c.numpy, (1,) if unit else shape) for i, (c, shape, unit) in shaped if not c.is_text]
        return np.dtype(fields)


class _Whole:
    """The ``Feed`` of a model's only input whose records are its tensor, but for the type; reads no field of them."""

    __slots__ = ("_is_cast", "_shape", "_stored", "_target")

    def __init__(self, stored: Record, target: Record, shape: tuple[int, ...]) -> None:
        self._stored, self._target, self._shape, self._is_cast = stored, target, shape, stored != target

    def __call__(self, batch: Batch, _table: Array) -> Array:
        array = np.frombuffer(batch.records, self._stored).reshape(batch.rows, *self._shape)
        return array.astype(self._target) if self._is_cast else array


def plan_inputs(tensors: Sequence[TensorInfo], declared: Sequence[SignatureColumn], source: str) -> InputPlan:
    """Check and plan; ``source`` names the file that declares the columns. Raises ``LoadError``."""
    for tensor in tensors:
        _check_tensor(tensor)
    max_rows = 1 if any(tensor.dims[0] == 1 for tensor in tensors) else 0
    if not declared:
        declared = [_as_declared(tensor) for tensor in tensors]
    if _is_matrix(tensors, declared):
        tensor = tensors[0]
        columns = tuple(_resolve(d, tensor, (), f"{source}: inputs[{i}]") for i, d in enumerate(declared))
        return InputPlan(columns, {tensor.name: _matrix(columns, tensor)}, max_rows)
    by_name = {tensor.name: tensor for tensor in tensors}
    if len(tensors) == len(declared) == 1 and not declared[0].name:  # MLflow leaves a single tensor unnamed
        by_name = {"": tensors[0]}
    unknown = [column.name for column in declared if column.name not in by_name]
    missing = [name for name in by_name if name not in {column.name for column in declared}]
    if unknown or missing:
        raise LoadError(
            f"{source}: inputs: the model takes {_names(by_name)}; not among them: {_names(unknown)}; "
            f"not declared: {_names(missing)}{_matrix_hint(tensors)}"
        )
    columns = tuple(
        _resolve(d, by_name[d.name], by_name[d.name].trailing, f"{source}: inputs[{i}]") for i, d in enumerate(declared)
    )
    feeds = {
        by_name[d.name].name: _single(columns, i, by_name[d.name]) for i, d in enumerate(declared)
    }  # in the order of the record, which is also the cheapest to read
    units = [c.shape == () and by_name[d.name].trailing == (1,) for d, c in zip(declared, columns, strict=True)]
    return InputPlan(columns, feeds, max_rows, units)


def _check_tensor(tensor: TensorInfo) -> None:
    if tensor.datatype is None:
        raise LoadError(f'input "{tensor.name}" is {tensor.type}: expected a tensor of numbers, booleans or strings')
    if not tensor.dims:
        raise LoadError(f'input "{tensor.name}" has no batch dimension: expected a first dimension that counts rows')
    if tensor.dims[0] is not None and tensor.dims[0] != 1:
        raise LoadError(
            f'input "{tensor.name}" fixes its first dimension at {tensor.dims[0]}: expected a dynamic one (or 1); '
            "export the model with a dynamic batch axis"
        )


def _as_declared(tensor: TensorInfo) -> SignatureColumn:
    column = tensor.column()
    return SignatureColumn(name=column.name, type=column.kind, datatype=column.datatype, shape=column.shape)


def _is_matrix(tensors: Sequence[TensorInfo], declared: Sequence[SignatureColumn]) -> bool:
    if len(tensors) != 1 or len(tensors[0].dims) != 2:
        return False
    if len(declared) == 1 and declared[0].name in (tensors[0].name, ""):
        return False
    width = tensors[0].dims[1]
    return width in (None, len(declared)) and all(column.shape in (None, ()) for column in declared)


def _resolve(declared: SignatureColumn, tensor: TensorInfo, dims: tuple[int, ...], where: str) -> Column:
    """The declared column with what it leaves out taken from its tensor, whose dimensions per row are ``dims``."""
    wanted = tensor.datatype or ""
    is_text = declared.type == "string"
    if is_text != (wanted == "BYTES") and declared.type != "categorical":
        raise LoadError(f'{where}: column "{declared.name}": expected what fits {tensor.type}, got {declared.type}')
    if declared.type == "float" and not wanted.startswith("FP"):
        raise LoadError(f'{where}: column "{declared.name}": expected integer for {tensor.type}, got float')
    if wanted == "BOOL" and declared.type != "boolean":
        raise LoadError(f'{where}: column "{declared.name}": expected boolean for {tensor.type}, got {declared.type}')
    if declared.type == "categorical" and declared.levels is None:
        raise LoadError(f'{where}.levels: column "{declared.name}": expected levels: an ONNX model does not hold them')
    if declared.nullable and declared.type in ("integer", "boolean"):
        raise LoadError(
            f'{where}.nullable: column "{declared.name}": ONNX has no missing {declared.type}; expected a float column'
        )
    shape = declared.shape
    if shape is None:
        shape = () if dims in ((), (1,)) else dims
    fits = len(shape) == len(dims) and all(want in (-1, got) for want, got in zip(dims, shape, strict=True))
    if not fits and not (shape == () and dims == (1,)):
        raise LoadError(f'{where}.shape: column "{declared.name}": expected {list(dims)} per row, got {list(shape)}')
    has_own_type = (declared.type == "float" and wanted.startswith("FP")) or (
        declared.type == "integer" and "INT" in wanted
    )
    return Column(
        name=declared.name or tensor.name,
        kind=declared.type,
        datatype=declared.datatype or (wanted if has_own_type else _DEFAULTS[declared.type]),
        shape=shape,
        levels=declared.levels or (),
        nullable=bool(declared.nullable),
    )


def _matrix(columns: tuple[Column, ...], tensor: TensorInfo) -> Feed:
    width, target = len(columns), tensor.numpy
    storage = {column.numpy for column in columns}
    is_plain = len(storage) == 1 and not any(c.is_text or c.kind == "categorical" for c in columns)
    if is_plain:
        (stored,) = storage
        return _Whole(stored, target, (width,))
    element = TensorInfo(tensor.name, tensor.type, (None,))
    fills = [_values(columns, i, element) for i in range(width)]

    def mixed(batch: Batch, table: Array) -> Array:
        matrix = np.empty((batch.rows, width), target)
        for i, fill in enumerate(fills):
            matrix[:, i] = fill(batch, table)
        return matrix

    return mixed


def _single(columns: tuple[Column, ...], index: int, tensor: TensorInfo) -> Feed:
    column, target = columns[index], tensor.numpy
    values = _values(columns, index, tensor)
    is_alone = len(columns) == 1 and not column.is_text and column.kind != "categorical" and column.numpy == target
    if is_alone and -1 not in column.shape:  # the records are the tensor
        shape = (1,) if column.shape == () and tensor.trailing == (1,) else column.shape
        return _Whole(target, target, shape)

    def feed(batch: Batch, table: Array) -> Array:
        array = values(batch, table)
        if array.dtype != target:
            return array.astype(target)
        # ONNX Runtime copies what is strided, but trusts what is contiguous to be aligned.
        return array if array.flags.aligned else array.copy()

    return feed


def _values(columns: tuple[Column, ...], index: int, tensor: TensorInfo) -> Feed:
    """One column's values, ``[rows, *shape]``, of whatever type they are stored in; levels looked up."""
    column, field = columns[index], f"f{index}"
    if column.is_text:
        return _text(columns, index, tensor)
    if column.kind != "categorical":
        return lambda _, table: table[field]
    if tensor.datatype == "BYTES":
        levels = np.array([*column.levels, ""], dtype=object)  # position -1 is the last: missing
    elif (tensor.datatype or "").startswith("FP"):
        levels = np.array([*range(len(column.levels)), np.nan], dtype=tensor.numpy)
    else:
        levels = np.array([*range(len(column.levels)), -1], dtype=tensor.numpy)

    def named(_: Batch, table: Array) -> Array:
        try:
            array: Array = levels[table[field]]
        except IndexError:
            raise BatchInvalid(f'column "{column.name}": expected positions of {len(levels) - 1} levels') from None
        return array

    return named


def _text(columns: tuple[Column, ...], index: int, tensor: TensorInfo) -> Feed:
    column, place = columns[index], sum(c.is_text for c in columns[:index])
    fixed = (1,) if column.shape == () and tensor.trailing == (1,) else column.shape

    def text(batch: Batch, _: Array) -> Array:
        values = ["" if value is None else value for value in batch.texts[place]]
        shape = batch.shapes[index] if batch.shapes is not None and fixed == column.shape else fixed
        return np.array(values, dtype=object).reshape(batch.rows, *shape)

    return text


def _names(names: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "none"


def _matrix_hint(tensors: Sequence[TensorInfo]) -> str:
    if len(tensors) == 1 and len(tensors[0].dims) == 2 and tensors[0].dims[1] is not None:
        return f"; or declare {tensors[0].dims[1]} scalar columns, one for each column of the matrix"
    return ""
