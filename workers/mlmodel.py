"""
The ``MLmodel`` file of an MLflow model folder: which flavor, which file, and the columns when a signature was logged.

Strict about what we use and blind to the rest: MLflow adds keys with every release. The flavors ``onnx`` and R's
``crate`` can be served; of others the names are told. ``signature.inputs`` is JSON inside YAML, as MLflow writes it.
A signature that says what no record can hold (objects, arrays, datetimes) is an error, not a guess.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec
import yaml

from workers.runtimes.base import LoadError
from workers.signature_file import ColumnType, SignatureColumn

__all__ = ["MlModel", "read_mlmodel"]

Flavor = Literal["onnx", "crate"]

_SCALARS: dict[str, tuple[ColumnType, str]] = {
    "boolean": ("boolean", "BOOL"),
    "integer": ("integer", "INT32"),
    "long": ("integer", "INT64"),
    "float": ("float", "FP32"),
    "double": ("float", "FP64"),
    "string": ("string", "BYTES"),
}
_TENSORS: dict[str, tuple[ColumnType, str]] = {
    "bool": ("boolean", "BOOL"),
    **{f"int{bits}": ("integer", f"INT{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": ("integer", f"UINT{bits}") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": ("float", f"FP{bits}") for bits in (16, 32, 64)},
    "str": ("string", "BYTES"),
    "object": ("string", "BYTES"),
}


class MlModel(msgspec.Struct, frozen=True, kw_only=True):
    """What is served of one MLflow folder."""

    flavor: Flavor
    model: Path
    """The model file, inside the folder."""
    inputs: tuple[SignatureColumn, ...] = ()
    """Empty when no signature was logged."""
    outputs: tuple[SignatureColumn, ...] = ()


def read_mlmodel(path: Path) -> MlModel:
    """Read ``path``; raises ``LoadError`` naming the key."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LoadError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(document, dict):
        raise LoadError(f"{path}: expected a mapping with the key flavors")
    flavors = document.get("flavors")
    if not isinstance(flavors, dict):
        raise LoadError(f"{path}: flavors: expected a mapping")
    if isinstance(onnx := flavors.get("onnx"), dict):
        flavor, model = "onnx", _file(path, "flavors.onnx.data", onnx.get("data", "model.onnx"))
    elif isinstance(crate := flavors.get("crate"), dict):
        flavor, model = "crate", _file(path, "flavors.crate.model", crate.get("model"))
    else:
        raise LoadError(f"{path}: flavors: expected onnx or crate, found {', '.join(map(str, flavors)) or 'none'}")
    signature = document.get("signature")
    if signature is not None and not isinstance(signature, dict):
        raise LoadError(f"{path}: signature: expected a mapping")
    return MlModel(
        flavor="onnx" if flavor == "onnx" else "crate",
        model=model,
        inputs=_columns(path, "signature.inputs", (signature or {}).get("inputs")),
        outputs=_columns(path, "signature.outputs", (signature or {}).get("outputs")),
    )


def _file(path: Path, key: str, value: object) -> Path:
    if not isinstance(value, str) or not value:
        raise LoadError(f"{path}: {key}: expected the name of a file in this folder")
    relative = PurePosixPath(value)
    if relative.is_absolute() or ".." in relative.parts:
        raise LoadError(f"{path}: {key}: expected a path inside this folder, got {value}")
    model = path.parent / relative
    if not model.is_file():
        raise LoadError(f"{path}: {key}: {value} is not in this folder")
    return model


def _columns(path: Path, key: str, value: object) -> tuple[SignatureColumn, ...]:
    if value is None:
        return ()
    try:
        entries = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise LoadError(f"{path}: {key}: expected a JSON text: {error}") from error
    if entries is None:
        return ()
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LoadError(f"{path}: {key}: expected a list of columns")
    columns = tuple(_column(path, f"{key}[{i}]", entry, i, len(entries)) for i, entry in enumerate(entries))
    names = [column.name for column in columns]
    if len(set(names)) != len(names):
        raise LoadError(f"{path}: {key}: two columns have one name")
    return columns


def _column(path: Path, key: str, entry: dict[str, Any], index: int, count: int) -> SignatureColumn:
    name = entry.get("name")
    if name is None:
        name = "" if count == 1 else str(index)  # MLflow leaves a single tensor, and columns of arrays, unnamed
    if not isinstance(name, str):
        raise LoadError(f"{path}: {key}.name: expected a text")
    kind = entry.get("type")
    is_optional = entry.get("required", True) is False
    if kind == "tensor":
        return _tensor(path, key, name, entry.get("tensor-spec"), is_optional)
    if kind not in _SCALARS:
        raise LoadError(f"{path}: {key}.type: expected one of {', '.join([*_SCALARS, 'tensor'])}, got {kind}")
    type_, datatype = _SCALARS[kind]
    return SignatureColumn(name=name, type=type_, datatype=datatype, shape=(), nullable=_nullable(type_, is_optional))


def _tensor(path: Path, key: str, name: str, spec: object, is_optional: bool) -> SignatureColumn:
    if not isinstance(spec, dict):
        raise LoadError(f"{path}: {key}.tensor-spec: expected a mapping")
    dtype, shape = spec.get("dtype"), spec.get("shape")
    if dtype not in _TENSORS:
        raise LoadError(f"{path}: {key}.tensor-spec.dtype: expected one of {', '.join(_TENSORS)}, got {dtype}")
    is_shape = isinstance(shape, list) and all(
        isinstance(dim, int) and not isinstance(dim, bool) and (dim == -1 or dim > 0) for dim in shape
    )
    if not is_shape or not shape or shape[0] != -1:
        raise LoadError(f"{path}: {key}.tensor-spec.shape: expected [-1, …], the first dimension counting rows")
    type_, datatype = _TENSORS[dtype]
    return SignatureColumn(
        name=name, type=type_, datatype=datatype, shape=tuple(shape[1:]), nullable=_nullable(type_, is_optional)
    )


def _nullable(type_: ColumnType, is_optional: bool) -> bool | None:
    """MLflow lets an optional integer be absent, never missing in a row: numpy has no such value."""
    return True if is_optional and type_ in ("float", "string") else None
