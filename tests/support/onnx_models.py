"""Small ONNX graphs, each the least that shows one form of input or output; written to a path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, INT64, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
BOOL = TensorProto.BOOL


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, int, Sequence[int | str | None] | None]],
    outputs: Sequence[tuple[str, int, Sequence[int | str | None] | None]],
    constants: Sequence[Any] = (),
) -> Path:
    """One graph of these nodes; a shape of None leaves the rank open."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        initializer=list(constants),
    )
    return save_graph(path, graph)


def save_graph(path: Path, graph: Any) -> Path:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def constant(name: str, values: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values), name)


def weights(features: int, hidden: int = 16) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The same numbers every time."""
    random = np.random.default_rng(7)
    return random.normal(size=(features, hidden)).astype("f4"), random.normal(size=(hidden, 1)).astype("f4")


def mlp(path: Path, features: int = 4, batch: int | None = None, hidden: int = 16) -> Path:
    """``x [batch, features]`` → ``y [batch, 1]``: two layers with a ReLU between."""
    first, second = weights(features, hidden)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ]
    constants = [constant("w1", first), constant("w2", second)]
    return save(path, nodes, [("x", FLOAT, [batch, features])], [("y", FLOAT, [batch, 1])], constants)


def mlp_answers(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What ``mlp`` gives, in float32."""
    first, second = weights(rows.shape[1])
    answers: np.ndarray[Any, Any] = np.maximum(rows.astype("f4") @ first, 0) @ second
    return answers[:, 0]


def columns(path: Path) -> Path:
    """``amount [N,1]`` float, ``count [N,1]`` int64, ``word [N,1]`` string → ``total [N,1]``, ``echo [N,1]`` string."""
    nodes = [
        helper.make_node("Cast", ["count"], ["counted"], to=FLOAT),
        helper.make_node("Mul", ["amount", "counted"], ["total"]),
        helper.make_node("Identity", ["word"], ["echo"]),
    ]
    inputs = [("amount", FLOAT, [None, 1]), ("count", INT64, [None, 1]), ("word", STRING, [None, 1])]
    return save(path, nodes, inputs, [("total", FLOAT, [None, 1]), ("echo", STRING, [None, 1])])


def zipmap(path: Path, classes: Sequence[str] | Sequence[int] = ("benign", "malignant")) -> Path:
    """``x [N, 2]`` → ``label`` and ``probabilities``, a sequence of maps: the softmax of x over two classes."""
    labels: dict[str, Any]
    if isinstance(classes[0], str):
        labels = {"classlabels_strings": list(classes)}
        label_type, key = STRING, TensorProto.STRING
    else:
        labels = {"classlabels_int64s": list(classes)}
        label_type, key = INT64, TensorProto.INT64
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"], axis=1),
        helper.make_node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", **labels),
        helper.make_node("ArgMax", ["p"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "best"], ["label"]),
    ]
    names = np.array(classes, dtype=object) if label_type == STRING else np.array(classes, dtype=np.int64)
    maps = helper.make_value_info(
        "probabilities",
        helper.make_sequence_type_proto(helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, []))),
    )
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", FLOAT, [None, 2])],
        [helper.make_tensor_value_info("label", label_type, [1]), maps],  # [1] as older converters write it
        initializer=[constant("names", names)],
    )
    return save_graph(path, graph)


def doubling(path: Path, shape: Sequence[int | str | None], kind: int = FLOAT) -> Path:
    """``x`` of any shape → ``y`` of the same shape, twice as much."""
    two = np.array(2, dtype=helper.tensor_dtype_to_np_dtype(kind))
    nodes = [helper.make_node("Mul", ["x", "two"], ["y"])]
    return save(path, nodes, [("x", kind, shape)], [("y", kind, shape)], [constant("two", two)])


def echo(path: Path, width: int) -> Path:
    """``x [N, width]`` strings → ``y``, the same."""
    shape = [None, width]
    return save(path, [helper.make_node("Identity", ["x"], ["y"])], [("x", STRING, shape)], [("y", STRING, shape)])


def embedding(path: Path, entries: int = 3) -> Path:
    """``code [N]`` int64 → ``y [N]``: looks the code up, and raises for one that is too large."""
    nodes = [helper.make_node("Gather", ["table", "code"], ["y"])]
    table = constant("table", np.arange(entries, dtype="f4") * 10)
    return save(path, nodes, [("code", INT64, [None])], [("y", FLOAT, [None])], [table])


def one_hot(path: Path) -> Path:
    """``color [N, 1]`` string → ``y [N]``: 1.0 for "red", else 0.0."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["color"],
            ["code"],
            domain="ai.onnx.ml",
            keys_strings=["red"],
            values_floats=[1.0],
            default_float=0.0,
        ),
        helper.make_node("Squeeze", ["code", "axis"], ["y"]),
    ]
    axis = constant("axis", np.array([1], dtype=np.int64))
    return save(path, nodes, [("color", STRING, [None, 1])], [("y", FLOAT, [None])], [axis])


def spinning(path: Path) -> Path:
    """``n [N, 1]`` int64 → ``y [N, 1]``: a loop of as many small operators as the first row says."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition_in"], ["condition_out"]),
            helper.make_node("Add", ["value_in", "step"], ["value_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("condition_in", BOOL, []),
            helper.make_tensor_value_info("value_in", FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("condition_out", BOOL, []),
            helper.make_tensor_value_info("value_out", FLOAT, [None, 1]),
        ],
        initializer=[constant("step", np.array(1, dtype="f4"))],
    )
    nodes = [
        helper.make_node("ReduceMax", ["n"], ["trips"], keepdims=0),
        helper.make_node("Cast", ["n"], ["start"], to=FLOAT),
        helper.make_node("Loop", ["trips", "yes", "start"], ["y"], body=body),
    ]
    yes = constant("yes", np.array(True))
    return save(path, nodes, [("n", INT64, [None, 1])], [("y", FLOAT, [None, 1])], [yes])
