"""
Real models that misbehave on demand: a served folder whose R models hang, crash, leak or wait when a column says so.

``wait`` holds a worker until ``Gate.open``, so that a test decides, and not a clock, what is in flight together.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.onnx_models import mlp
from tests.support.stack import ROOT

__all__ = ["ACTS", "Gate", "Rough", "body"]

ACTS = ("none", "hang", "sleep", "crash", "stop", "wait", "leak", "nap")

_SCORE = """
init <- function() list(lm = readRDS("model.rds"))
kept <- list()
predict_rows <- function(model, rows) {
  act <- as.character(rows$act)
  if (any(act == "stop")) stop("no answer for this row")
  if (any(act == "crash")) tools::pskill(Sys.getpid(), 11L)
  if (any(act == "hang")) repeat {}
  if (any(act == "sleep")) Sys.sleep(3600)
  if (any(act == "nap")) Sys.sleep(0.05)
  if (any(act == "wait")) while (!file.exists(GATE)) Sys.sleep(0.002)
  if (any(act == "leak")) kept[[length(kept) + 1L]] <<- rnorm(1310720)
  predict(model$lm, rows)
}
"""


def body(wt: float, act: str = "none") -> dict[str, Any]:
    """A request of one row."""
    return {"input_data": {"columns": ["wt", "act"], "data": [[wt, act]]}}


class Gate:
    """What rows that ``wait`` wait for."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def open(self) -> None:
        self._file.touch()

    @contextmanager
    def closed(self) -> Iterator[Gate]:
        """Closed for the length of the block, so that nothing waits for ever when a test fails."""
        self._file.unlink(missing_ok=True)
        try:
            yield self
        finally:
            self.open()


class Rough:
    """A folder to serve. Every deployment is called ``blue`` and has all of its endpoint's traffic."""

    def __init__(self, root: Path, *, settings: str = "") -> None:
        self.root = root
        (root / "endpoints").mkdir(parents=True)
        if settings:
            (root / "lockgate.yaml").write_text(settings, encoding="utf-8")

    def r(self, endpoint: str, **deployment: Any) -> Gate:
        """An endpoint on an R model that does what its column ``act`` says."""
        folder = self.root / "models" / endpoint
        folder.mkdir(parents=True)
        for file in ("model.rds", "answers.txt"):
            (folder / file).write_bytes((self._trained / file).read_bytes())
        # Not beside the model: one whose files change is another one.
        gates = self.root / "gates"
        gates.mkdir(exist_ok=True)
        (folder / "score.R").write_text(_SCORE.replace("GATE", json.dumps(str(gates / endpoint))), encoding="utf-8")
        signature = {
            "inputs": [
                {"name": "wt", "type": "float"},
                {"name": "act", "type": "categorical", "levels": list(ACTS)},
            ],
            "outputs": [{"name": "mpg", "type": "float"}],
            "example": [[2.5, "none"]],
        }
        (folder / "signature.json").write_text(json.dumps(signature), encoding="utf-8")
        self.endpoint(endpoint, folder, **deployment)
        return Gate(gates / endpoint)

    def onnx(self, endpoint: str, **deployment: Any) -> None:
        """An endpoint on a small network; ``tests.support.onnx_models.mlp_answers`` knows what it answers."""
        folder = self.root / "models" / endpoint
        folder.mkdir(parents=True)
        mlp(folder / "model.onnx")
        self.endpoint(endpoint, folder, **deployment)

    def endpoint(self, name: str, model: Path, *, request_timeout_ms: int = 60_000, **deployment: Any) -> None:
        document = {
            "name": name,
            "request_timeout_ms": request_timeout_ms,
            "deployments": {"blue": {"model": str(model), **deployment}},
        }
        # JSON is YAML.
        (self.root / "endpoints" / f"{name}.yaml").write_text(json.dumps(document), encoding="utf-8")

    @cached_property
    def answers(self) -> Mapping[float, float]:
        """What plain R answers to a weight."""
        pairs = (line.split() for line in (self._trained / "answers.txt").read_text(encoding="ascii").splitlines())
        return {float.fromhex(wt): float.fromhex(mpg) for wt, mpg in pairs}

    @cached_property
    def _trained(self) -> Path:
        folder = self.root / "trained"
        folder.mkdir()
        script = ROOT / "tests" / "support" / "rough.R"
        subprocess.run(["Rscript", str(script), str(folder)], check=True, capture_output=True, timeout=60)
        return folder
