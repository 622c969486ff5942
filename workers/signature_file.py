"""
``signature.json`` beside a model: the names, types and levels that the model itself does not hold.

::

    {
      "inputs":  [{"name": "carat", "type": "float"},
                  {"name": "cut", "type": "categorical", "levels": ["Fair", "Good", "Ideal"]}],
      "outputs": [{"name": "price", "type": "float", "datatype": "FP64"}],
      "example": [[0.31, "Ideal"]]
    }

``type`` is float, integer, boolean, string or categorical. ``datatype`` (of the Open Inference Protocol), ``shape``
(of one row; -1: each request chooses), ``levels`` (in the model's order) and ``nullable`` may be left out: they are
None here, and the runtime takes them from the model. ``outputs`` may be left out as a whole. ``example`` holds sample
rows in the order of the inputs, as JSON values: a categorical by the name of its level, a missing value as null.

Reading is strict: an unknown key, a key given twice, a wrong type or a duplicate name is an error that names the file
and the key. Whether the file fits its model is the runtime's to check. No runtime is imported here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from workers.runtimes.base import LoadError

__all__ = ["ColumnType", "SignatureColumn", "SignatureFile", "find_signature", "read_signature"]

ColumnType = Literal["float", "integer", "boolean", "string", "categorical"]

DATATYPES: dict[str, tuple[str, ...]] = {
    "float": ("FP16", "FP32", "FP64"),
    "integer": ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    "boolean": ("BOOL",),
    "string": ("BYTES",),
    "categorical": ("BYTES",),
}
"""The datatypes that each type may have."""


class SignatureColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column as declared; None where the declaration leaves it to the model."""

    name: str
    type: ColumnType
    datatype: str | None = None
    shape: tuple[int, ...] | None = None
    """Of one row; () is a scalar."""
    levels: tuple[str, ...] | None = None
    nullable: bool | None = None


class SignatureFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``signature.json``."""

    inputs: tuple[SignatureColumn, ...]
    outputs: tuple[SignatureColumn, ...] = ()
    """Empty: the model says."""
    example: tuple[tuple[Any, ...], ...] = ()


def find_signature(model: Path) -> Path | None:
    """The ``signature.json`` of a model folder, or beside a single model file; None when there is none."""
    path = (model if model.is_dir() else model.parent) / "signature.json"
    return path if path.is_file() else None


def read_signature(path: Path) -> SignatureFile:
    """Read and check ``path`` by itself; raises ``LoadError``."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_key_twice)
        signature = msgspec.convert(document, SignatureFile)
    except (OSError, ValueError) as error:  # msgspec.ValidationError and json.JSONDecodeError are ValueErrors
        raise LoadError(f"{path}: {error}") from error
    if not signature.inputs:
        raise LoadError(f"{path}: inputs: expected at least one column")
    _check_columns(path, "inputs", signature.inputs)
    _check_columns(path, "outputs", signature.outputs)
    for i, row in enumerate(signature.example):
        if len(row) != len(signature.inputs):
            raise LoadError(f"{path}: example[{i}]: expected {len(signature.inputs)} values, got {len(row)}")
    return signature


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key "{twice}" is given twice in one object')
    return document


def _check_columns(path: Path, side: str, columns: tuple[SignatureColumn, ...]) -> None:
    seen: set[str] = set()
    for i, column in enumerate(columns):
        where = f"{path}: {side}[{i}]"
        if not column.name:
            raise LoadError(f"{where}.name: expected a name")
        if column.name in seen:
            raise LoadError(f'{where}.name: "{column.name}" is the name of an earlier column')
        seen.add(column.name)
        fitting = DATATYPES[column.type]
        if column.datatype is not None and column.datatype not in fitting:
            expected = f'{", ".join(fitting)} for type "{column.type}"'
            raise LoadError(f"{where}.datatype: expected one of {expected}, got {column.datatype}")
        if column.shape is not None and any(dim != -1 and dim < 1 for dim in column.shape):
            raise LoadError(f"{where}.shape: expected positive lengths or -1, got {list(column.shape)}")
        _check_levels(where, column)


def _check_levels(where: str, column: SignatureColumn) -> None:
    if column.levels is None:
        return
    if column.type != "categorical":
        raise LoadError(f'{where}.levels: only a categorical has levels, and "{column.name}" is {column.type}')
    if not column.levels:
        raise LoadError(f"{where}.levels: expected at least one level")
    if len(set(column.levels)) != len(column.levels):
        raise LoadError(f"{where}.levels: expected each level once")
