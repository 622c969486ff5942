"""A folder to serve whose shadows have a planted bug, hang, crash or answer garbage; the primaries are right."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.onnx_models import mlp
from tests.support.rough import ACTS
from tests.support.stack import ROOT

__all__ = ["FLOWERS", "Mirrored"]

_ROUGH = """
init <- function() list(lm = readRDS("model.rds"))
predict_rows <- function(model, rows) {
  act <- as.character(rows$act)
  if (any(act == "stop")) stop("no answer for this row")
  if (any(act == "crash")) tools::pskill(Sys.getpid(), 11L)
  if (any(act == "hang")) repeat {}
  if (any(act == "nap")) Sys.sleep(0.2)
  if (any(act == "leak")) return(rep(NaN, nrow(rows)))
  predict(model$lm, rows)
}
"""

FLOWERS: list[dict[str, Any]] = [
    {"Petal.Width": 0.1 + i / 20, "Petal.Length": 3.0 + i / 15, "Sepal.Length": 5.0 + i % 7 / 3, "Species": species}
    for i in range(48)
    for species in ("setosa", "versicolor", "virginica")
]


class Mirrored:
    """Writes everything below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root, self._models = root, root / "models"
        self._models.mkdir(parents=True)
        (root / "endpoints").mkdir()
        script = ROOT / "tests" / "support" / "mirrored.R"
        subprocess.run(["Rscript", str(script), str(self._models)], check=True, capture_output=True, timeout=60)
        self._rough()
        mlp(self._models / "net.onnx")
        self._endpoint(
            "flower-length",
            {"blue": "length", "again": "length", "swapped": "length-swapped"},
            mirror_traffic={"again": 100, "swapped": 100},
            compare={"replay_percent": 100, "keep_inputs": True, "worst_rows": 5},
        )
        self._endpoint("flower-kind", {"blue": "kind", "swapped": "kind-swapped"}, mirror_traffic={"swapped": 100})
        self._endpoint(
            "steady",
            {"blue": "steady", "rough": "rough"},
            mirror_traffic={"rough": 100},
            request_timeout_ms=1500,
            mirror_max_rows=4,
        )
        halves = {"one": 50, "other": 50}
        nets = {"one": "net.onnx", "other": "net.onnx"}
        self._endpoint("by-header", nets, traffic=halves, sticky={"header": "x-customer"})
        self._endpoint("by-column", nets, traffic=halves, sticky={"column": "customer"})

    def _rough(self) -> None:
        folder = self._models / "rough"
        folder.mkdir()
        (folder / "model.rds").write_bytes((self._models / "steady" / "model.rds").read_bytes())
        (folder / "score.R").write_text(_ROUGH, encoding="utf-8")
        signature = {
            "inputs": [
                {"name": "wt", "type": "float"},
                {"name": "act", "type": "categorical", "levels": list(ACTS)},
            ],
            "outputs": [{"name": "prediction", "type": "float"}],
            "example": [[2.5, "none"]],
        }
        (folder / "signature.json").write_text(json.dumps(signature), encoding="utf-8")

    def _endpoint(self, name: str, deployments: Mapping[str, str], **more: Any) -> None:
        document = {
            "name": name,
            "traffic": {"blue": 100},
            "deployments": {
                each: {"model": str(self._models / model), "workers": 1} for each, model in deployments.items()
            },
            **more,
        }
        (self.root / "endpoints" / f"{name}.yaml").write_text(json.dumps(document), encoding="utf-8")
