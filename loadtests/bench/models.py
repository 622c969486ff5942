"""The models and folders that Lockgate serves in the bench: a small ONNX network, and the R models of models.R."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["FEATURES", "TUMOR", "Folders", "make", "write_endpoint", "write_network"]

TUMOR = Path(__file__).parents[2] / "examples" / "models" / "tumor-boosting"
"""The ONNX model of the examples: a boosting of trees with ten inputs of one column each."""

SHADOWED = {"name": "mlp", "traffic": {"blue": 100}, "mirror_traffic": {"candidate": 100}}
"""An endpoint but for its deployments ``blue`` and ``candidate``."""

FEATURES = 10
HIDDEN = 32


class Folders:
    """Where things are below one root. Each ``serve_*`` is what one ``lockgate serve`` is given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = root / "models"
        self.mlp = self.models / "mlp.onnx"
        self.other_mlp = self.models / "other-mlp.onnx"
        """The same network with other numbers."""
        self.serve_onnx = root / "serve-onnx"
        self.serve_two = root / "serve-two"
        self.serve_shadow = root / "serve-shadow"
        self.serve_reload = root / "serve-reload"
        self.serve_r = root / "serve-r"
        self.serve_crowd = root / "serve-crowd"


def make(root: Path) -> Folders:
    """All models and folders, in a few seconds."""
    folders = Folders(root)
    folders.models.mkdir(parents=True)
    subprocess.run(["Rscript", str(Path(__file__).with_name("models.R")), str(folders.models)], check=True, timeout=300)
    write_network(folders.mlp, seed=7)
    write_network(folders.other_mlp, seed=8)
    _endpoint(folders.serve_onnx, "mlp", folders.mlp)
    _endpoint(folders.serve_two, "mlp", folders.mlp)
    _endpoint(folders.serve_two, "tumor", TUMOR)
    shadowed = {name: {"model": str(folders.mlp), "workers": 1} for name in ("blue", "candidate")}
    write_endpoint(folders.serve_shadow, {**SHADOWED, "deployments": shadowed})
    _endpoint(folders.serve_reload, "mlp", folders.mlp)
    _endpoint(folders.serve_reload, "lm", folders.models / "lm")
    _endpoint(folders.serve_r, "lm", folders.models / "lm")
    _endpoint(folders.serve_r, "random-forest", folders.models / "random-forest")
    # Batches of four make a capacity that a load generator beside the gateway can exceed three times.
    _endpoint(folders.serve_crowd, "random-forest", folders.models / "random-forest", max_rows=4)
    return folders


def write_endpoint(folder: Path, endpoint: Mapping[str, object]) -> None:
    """Whole and at once: whoever follows the folder sees the old one or the new one. JSON is YAML too."""
    path = folder / "endpoints" / f"{endpoint['name']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(endpoint))
    beside.replace(path)


def write_network(path: Path, seed: int) -> None:
    """``x [N, 10]`` → ``y [N, 1]``: two layers with a ReLU between; ONNX Runtime takes microseconds for it."""
    random = np.random.default_rng(seed)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "w2"], ["y"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        initializer=[
            numpy_helper.from_array(random.normal(size=(FEATURES, HIDDEN)).astype("f4"), "w1"),
            numpy_helper.from_array(random.normal(size=(HIDDEN, 1)).astype("f4"), "w2"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def _endpoint(folder: Path, name: str, model: Path, max_rows: int = 64) -> None:
    deployment = {"model": str(model), "workers": 1, "max_rows": max_rows}
    write_endpoint(folder, {"name": name, "deployments": {"blue": deployment}})
