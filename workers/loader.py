"""
Which runtime serves a model: decided by what is in the folder, so that a user names a folder and nothing else.

A model is one of: a folder with ``model.onnx``; a folder with one ``*.rds`` (and maybe ``score.R``); an MLflow folder
(``MLmodel`` with the flavor ``onnx`` or R's ``crate``); or a single ``.onnx`` or ``.rds`` file. Anything else, or two
of them at once, is refused with the list of what was found: guessing would serve the wrong model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from workers.mlmodel import read_mlmodel
from workers.options import GroupOptions
from workers.runtimes.base import LoadError, Runtime

__all__ = ["detect", "open_runtime"]

Engine = Literal["onnx", "r"]


def open_runtime(group: GroupOptions) -> Runtime:
    """The runtime for ``group.model``, not yet loaded. Raises ``LoadError``."""
    if detect(Path(group.model)) == "r":
        from workers.runtimes.r import RRuntime

        return RRuntime(group)
    from workers.runtimes.onnx import OnnxRuntime

    return OnnxRuntime(group)


def detect(model: Path) -> Engine:
    """Which engine runs ``model``; looks at names, and into ``MLmodel``, but at no model. Raises ``LoadError``."""
    if model.is_file():
        return _of_file(model)
    if not model.is_dir():
        raise LoadError(f"{model}: no such file or folder; expected a model folder, a .onnx file or a .rds file")
    if (model / "MLmodel").is_file():
        return "onnx" if read_mlmodel(model / "MLmodel").flavor == "onnx" else "r"
    has_onnx = (model / "model.onnx").is_file()
    rds = sorted(path.name for path in model.iterdir() if path.suffix.lower() == ".rds")
    if has_onnx and rds:
        raise LoadError(f"{model}: holds model.onnx and {', '.join(rds)}; expected one model a folder")
    if has_onnx:
        return "onnx"
    if rds or (model / "score.R").is_file():
        return "r"
    raise LoadError(f"{model}: found {_listing(model)}; expected model.onnx, a .rds file, score.R or an MLmodel file")


def _of_file(model: Path) -> Engine:
    match model.suffix.lower():
        case ".onnx":
            return "onnx"
        case ".rds":
            return "r"
        case _:
            raise LoadError(f"{model}: expected a file that ends in .onnx or .rds, or a model folder")


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:8]) if names else "nothing"
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
