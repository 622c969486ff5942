"""
A folder to serve whose models say which version they are: each answers ``x`` plus a number of its own, in R or ONNX.

A model in R may wait for a file to be made before it is loaded, so that a test decides what happens meanwhile.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.support.onnx_models import constant, save

__all__ = ["Versions", "body"]

_SCORE = """
init <- function() {{
  while ({waits} && !file.exists("{gate}")) Sys.sleep(0.01)
  if ({fails}) stop("this model cannot be loaded")
  {by}
}}
predict_rows <- function(model, rows) rows$x + model
"""


def body(x: float) -> dict[str, Any]:
    """A request of one row."""
    return {"input_data": {"columns": ["x"], "data": [[x]]}}


class Versions:
    """Writes everything below ``root``."""

    def __init__(self, root: Path, *, settings: Mapping[str, Any] | None = None) -> None:
        self.root = root
        (root / "endpoints").mkdir(parents=True)
        if settings is not None:
            (root / "lockgate.yaml").write_text(json.dumps(settings), encoding="utf-8")

    def r(self, by: int, *, waits: bool = False, fails: bool = False, name: str = "") -> Path:
        """A model folder in R that adds ``by``; the model's path."""
        folder = self.root / "models" / (name or f"r-{by}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.rds").write_bytes(self._nothing.read_bytes())
        gate = self.gate(folder)
        gate.unlink(missing_ok=True)
        script = _SCORE.format(by=by, waits=str(waits).upper(), fails=str(fails).upper(), gate=gate)
        (folder / "score.R").write_text(script, encoding="utf-8")
        (folder / "signature.json").write_text(_signature(), encoding="utf-8")
        return folder

    def gate(self, model: Path) -> Path:
        """What a model that waits waits for; beside it, for in it it would be another model."""
        return self.root / f"{model.name}.gate"

    def onnx(self, by: int, *, name: str = "") -> Path:
        """The same as a graph."""
        folder = self.root / "models" / (name or f"onnx-{by}")
        folder.mkdir(parents=True, exist_ok=True)
        shape = [None, 1]
        nodes = [helper.make_node("Add", ["x", "by"], ["y"])]
        double = TensorProto.DOUBLE
        save(
            folder / "model.onnx",
            nodes,
            [("x", double, shape)],
            [("y", double, shape)],
            [constant("by", np.array([by], dtype="f8"))],
        )
        (folder / "signature.json").write_text(_signature(), encoding="utf-8")
        return folder

    def endpoint(self, name: str, deployments: Mapping[str, Path | Mapping[str, Any]], **more: Any) -> Path:
        """Its file, written whole or not at all."""
        document = {
            "name": name,
            "deployments": {
                each: {"workers": 1, **({"model": str(wanted)} if isinstance(wanted, Path) else wanted)}
                for each, wanted in deployments.items()
            },
            **more,
        }
        file = self.root / "endpoints" / f"{name}.yaml"
        new = file.with_suffix(".new")
        new.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        return new.replace(file)

    def remove(self, name: str) -> None:
        (self.root / "endpoints" / f"{name}.yaml").unlink()

    @cached_property
    def _nothing(self) -> Path:
        """An ``.rds`` file, because a folder without one is no model."""
        file = self.root / "nothing.rds"
        script = f"saveRDS(NULL, {json.dumps(str(file))})"
        subprocess.run(["Rscript", "-e", script], check=True, capture_output=True, timeout=60)
        return file


def _signature() -> str:
    return json.dumps(
        {
            "inputs": [{"name": "x", "type": "float"}],
            "outputs": [{"name": "y", "type": "float"}],
            "example": [[1.5]],
        }
    )
