"""
From the output tensors of an ONNX graph to records: planned once, checked on every batch.

A tensor ``[N]`` or ``[N, 1]`` is a scalar column, any other a column with a shape per row. The sequence of maps in
which scikit-learn's classifiers answer (ZipMap) is one column with an element per class, in the order of the classes.
``signature.json`` may name outputs to keep and set their types; it may also give one output with K numbers a row K
scalar columns: by the name of each class, or, where no name is a class, in their order. A single scalar output may be
renamed that way too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from workers.runtimes.base import LoadError, ModelError, Result, Text
from workers.runtimes.onnx_tensor import TensorInfo
from workers.schema import NUMPY, Column
from workers.signature_file import SignatureColumn

__all__ = ["OutputPlan", "is_class_map", "plan_outputs"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_CLASS_MAPS = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
_SUPPORTED = {"float": ("FP", "INT"), "integer": ("INT",), "boolean": ("BOOL",), "string": ("BYTES",)}


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a column's values come from: output ``index`` of the run, as a whole or only element ``element``."""

    index: int
    element: int | None = None


class OutputPlan:
    """How the outputs of one model become records. ``names`` are the graph outputs to compute, in run order."""

    def __init__(
        self, names: list[str], columns: tuple[Column, ...], sources: Sequence[_Source], maps: frozenset[int]
    ) -> None:
        self.names, self.columns = names, columns
        self._sources, self._maps = tuple(sources), tuple(maps)
        self._is_open = any(-1 in column.shape for column in columns)
        self._codes: list[Callable[[Array], Array] | None] = [_coder(column) for column in columns]
        self._whole = self._whole_record()
        self._record = None if self._is_open else _record(columns, [column.shape for column in columns])

    def collect(self, outputs: list[Any], rows: int) -> Result:
        """The records of one run; raises ``ModelError`` where the model broke its own description."""
        for index in self._maps:
            outputs[index] = _unzip(outputs[index])
        if self._whole is not None:
            dtype, shape = self._whole
            array = outputs[0]
            if array.shape != (rows, *shape) and not (array.size == rows and shape in ((), (1,))):
                raise self._misshaped(0, array, rows)
            records = array.tobytes() if array.dtype == dtype else array.astype(dtype).tobytes()
            return Result(records, [], None, [])
        arrays = [self._array(i, outputs, rows) for i in range(len(self.columns))]
        fixed = self._record if self._record is not None else _record(self.columns, [a.shape[1:] for a in arrays])
        record = np.empty(rows, dtype=fixed)
        texts: list[Text] = []
        for i, (column, array) in enumerate(zip(self.columns, arrays, strict=True)):
            if column.is_text:
                texts.append([str(value) for value in array.reshape(-1).tolist()])
            else:
                record[f"f{i}"] = array
        shapes = [array.shape[1:] for array in arrays] if self._is_open else None
        return Result(record.tobytes(), texts, shapes)

    def _whole_record(self) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """Type and shape per row if one output's bytes are the records as they are."""
        first = self.columns[0]
        if len(self.names) != 1 or self._is_open or any(c.kind in ("string", "categorical") for c in self.columns):
            return None
        if len(self.columns) == 1 and self._sources[0].element is None:
            return first.numpy, first.shape
        in_order = [source.element for source in self._sources] == list(range(len(self.columns)))
        if in_order and len({column.numpy for column in self.columns}) == 1:
            return first.numpy, (len(self.columns),)
        return None

    def _array(self, i: int, outputs: list[Any], rows: int) -> Array:
        """Column ``i`` as ``[rows, *shape]``."""
        column, source = self.columns[i], self._sources[i]
        array: Array = outputs[source.index]
        if source.element is not None:
            if array.shape[:1] != (rows,) or array.ndim != 2 or array.shape[1] <= source.element:
                raise self._misshaped(source.index, array, rows)
            array = array[:, source.element]
        elif column.shape == () and array.size == rows:
            array = array.reshape(rows)
        elif array.shape[:1] != (rows,) or not _fits(column.shape, array.shape[1:]):
            raise self._misshaped(source.index, array, rows)
        code = self._codes[i]
        return array if code is None else code(array)

    def _misshaped(self, index: int, array: Array, rows: int) -> ModelError:
        return ModelError(
            f'output "{self.names[index]}" has shape {list(array.shape)} for {rows} rows', kind="OutputShape"
        )


def is_class_map(tensor: TensorInfo) -> bool:
    """Whether this is a sequence of maps from class to score."""
    return tensor.type in _CLASS_MAPS


def plan_outputs(
    tensors: Sequence[TensorInfo],
    classes: Mapping[str, Sequence[object]],
    declared: Sequence[SignatureColumn],
    source: str,
) -> OutputPlan:
    """
    Check and plan. ``classes`` holds the labels of each class map, in the order of its values; ``source`` names the
    file that declares the columns. Raises ``LoadError``.
    """
    for tensor in tensors:
        if tensor.datatype is None and not is_class_map(tensor):
            raise LoadError(f'output "{tensor.name}" is {tensor.type}: expected a tensor or a sequence of class maps')
    found = {tensor.name: _natural(tensor, classes) for tensor in tensors}
    bound = _bind(found, classes, declared, source)
    names = [tensor.name for tensor in tensors if tensor.name in {name for _, name, _ in bound}]
    maps = frozenset(names.index(t.name) for t in tensors if is_class_map(t) and t.name in names)
    sources = [_Source(names.index(name), element) for _, name, element in bound]
    return OutputPlan(names, tuple(column for column, _, _ in bound), sources, maps)


def _natural(tensor: TensorInfo, classes: Mapping[str, Sequence[object]]) -> Column:
    if is_class_map(tensor):
        return Column(name=tensor.name, kind="float", datatype="FP32", shape=(len(classes[tensor.name]),))
    return tensor.column()


def _bind(
    found: Mapping[str, Column],
    classes: Mapping[str, Sequence[object]],
    declared: Sequence[SignatureColumn],
    source: str,
) -> list[tuple[Column, str, int | None]]:
    """Each output column with the graph output, and the element of it, that fills it."""
    if not declared:
        return [(column, name, None) for name, column in found.items()]
    spread = [column for column in declared if column.name not in found]
    free = {name: column for name, column in found.items() if name not in {d.name for d in declared}}
    from_name, elements = _spread(spread, free, classes, source) if spread else ("", {})
    bound: list[tuple[Column, str, int | None]] = []
    for i, column in enumerate(declared):
        where = f"{source}: outputs[{i}]"
        if column.name in found:
            natural = found[column.name]
            bound.append((_typed(column, natural, natural.shape, where), column.name, None))
        else:
            bound.append((_typed(column, found[from_name], (), where), from_name, elements[column.name]))
    return bound


def _spread(
    columns: Sequence[SignatureColumn],
    free: Mapping[str, Column],
    classes: Mapping[str, Sequence[object]],
    source: str,
) -> tuple[str, dict[str, int | None]]:
    """The one output whose elements these columns are: its name, and which element each column is."""
    names = [column.name for column in columns]
    for name, labels in classes.items():
        texts = [str(label) for label in labels]
        if name in free and set(names) <= set(texts):
            return name, {column: texts.index(column) for column in names}
    fitting = [
        name
        for name, column in free.items()
        if column.shape in ((len(columns),), (-1,)) or (column.shape == () and len(columns) == 1)
    ]
    fitting = [name for name in fitting if not set(names) & {str(label) for label in classes.get(name, ())}]
    if len(fitting) != 1:
        told = ", ".join(
            f'"{name}"' + (f" (classes {', '.join(map(str, classes[name]))})" if name in classes else "")
            for name in free
        )
        raise LoadError(
            f"{source}: outputs: {', '.join(names)}: no such output; expected names of outputs, or a scalar column for "
            f"each element of one of the others: {told or 'none is left'}"
        )
    is_scalar = free[fitting[0]].shape == ()
    return fitting[0], {name: None if is_scalar else i for i, name in enumerate(names)}


def _typed(declared: SignatureColumn, natural: Column, dims: tuple[int, ...], where: str) -> Column:
    """The declared column, checked against what the graph gives."""
    if declared.type == "categorical":
        fits = natural.kind in ("string", "integer")
        if fits and declared.levels is None:
            raise LoadError(f'{where}.levels: column "{declared.name}": expected the levels')
    else:
        fits = natural.datatype.lstrip("U").startswith(_SUPPORTED[declared.type])
    if not fits:
        raise LoadError(
            f'{where}.type: column "{declared.name}": expected what fits {natural.datatype}, got {declared.type}'
        )
    shape = dims if declared.shape is None else declared.shape
    if not _fits(dims, shape) and not (dims == () and shape == (1,)):
        raise LoadError(f'{where}.shape: column "{declared.name}": expected {list(dims)} per row, got {list(shape)}')
    own = natural.datatype if natural.kind == declared.type else "FP64"
    return Column(
        name=declared.name,
        kind=declared.type,
        datatype=declared.datatype or ("BYTES" if declared.type == "categorical" else own),
        shape=() if dims == () else shape,
        levels=declared.levels or (),
        nullable=bool(declared.nullable),
    )


def _coder(column: Column) -> Callable[[Array], Array] | None:
    """What turns a label into the position of its level, for a categorical output."""
    if column.kind != "categorical":
        return None
    positions = {level: i for i, level in enumerate(column.levels)}
    message = f'output "{column.name}" gave a label that is none of its levels'

    def code(array: Array) -> Array:
        if array.dtype.kind in "iu":
            if array.size and (array.min() < 0 or array.max() >= len(positions)):
                raise ModelError(message, kind="OutputLevel")
            return array
        try:
            codes = [positions[value] for value in array.reshape(-1).tolist()]
        except KeyError:
            raise ModelError(message, kind="OutputLevel") from None
        return np.array(codes, NUMPY["INT32"]).reshape(array.shape)

    return code


def _record(columns: Sequence[Column], shapes: Sequence[tuple[int, ...]]) -> np.dtype[Any]:
    shaped = enumerate(zip(columns, shapes, strict=True))
    return np.dtype([(f"f{i}", column.numpy, shape) for i, (column, shape) in shaped if not column.is_text])


def _fits(dims: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(dims) == len(shape) and all(want in (-1, got) for want, got in zip(dims, shape, strict=True))


def _unzip(maps: list[dict[Any, float]]) -> Array:
    """Every map holds all classes in one order (ONNX maps are sorted), so its values are a row of the matrix."""
    return np.array([list(scores.values()) for scores in maps], dtype=np.float32)
