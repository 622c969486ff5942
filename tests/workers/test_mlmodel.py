"""Reading MLflow's MLmodel file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from workers.mlmodel import read_mlmodel
from workers.runtimes.base import LoadError


def write(folder: Path, inputs: Any = None, **document: Any) -> Path:
    (folder / "model.onnx").touch()
    document.setdefault("flavors", {"onnx": {"data": "model.onnx", "onnx_version": "1.20.0"}, "python_function": {}})
    if inputs is not None:
        document["signature"] = {"inputs": json.dumps(inputs), "outputs": None, "params": None}
    path = folder / "MLmodel"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_onnx_flavor_names_its_file(tmp_path: Path) -> None:
    model = read_mlmodel(write(tmp_path, mlflow_version="3.1.0", some_new_key={"a": 1}))

    assert (model.flavor, model.model, model.inputs) == ("onnx", tmp_path / "model.onnx", ())


def test_the_crate_flavor_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "crate.bin").touch()
    model = read_mlmodel(write(tmp_path, flavors={"crate": {"version": "0.1.0", "model": "crate.bin"}}))

    assert (model.flavor, model.model) == ("crate", tmp_path / "crate.bin")


def test_columns_keep_their_types_and_whether_they_are_required(tmp_path: Path) -> None:
    model = read_mlmodel(
        write(
            tmp_path,
            inputs=[
                {"type": "double", "name": "x", "required": True},
                {"type": "long", "name": "n", "required": False},
                {"type": "string", "name": "w"},
                {"type": "float", "name": "y", "required": False},
            ],
        )
    )

    assert [(c.name, c.type, c.datatype, c.shape, c.nullable) for c in model.inputs] == [
        ("x", "float", "FP64", (), None),
        ("n", "integer", "INT64", (), None),
        ("w", "string", "BYTES", (), None),
        ("y", "float", "FP32", (), True),
    ]


def test_a_tensor_loses_its_batch_dimension(tmp_path: Path) -> None:
    spec = {"dtype": "float32", "shape": [-1, 4, -1]}
    model = read_mlmodel(write(tmp_path, inputs=[{"type": "tensor", "tensor-spec": spec}]))

    assert [(c.name, c.datatype, c.shape) for c in model.inputs] == [("", "FP32", (4, -1))]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([{"type": "datetime", "name": "t"}], r"signature\.inputs\[0\]\.type: expected one of .* got datetime"),
        ([{"type": "double", "name": "x"}, {"type": "double", "name": "x"}], "two columns have one name"),
        ([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [4]}}], "tensor-spec.shape"),
        ([{"type": "tensor", "tensor-spec": {"dtype": "complex64", "shape": [-1]}}], "tensor-spec.dtype"),
        ({"type": "double"}, "expected a list of columns"),
        ([{"type": "double", "name": 3}], r"inputs\[0\]\.name: expected a text"),
    ],
)
def test_a_signature_that_no_record_can_hold_is_refused_by_its_key(tmp_path: Path, inputs: Any, told: str) -> None:
    with pytest.raises(LoadError, match=told):
        read_mlmodel(write(tmp_path, inputs=inputs))


@pytest.mark.parametrize(
    ("flavors", "told"),
    [
        ({"sklearn": {}, "python_function": {}}, "expected onnx or crate, found python_function, sklearn"),
        ({"onnx": {"data": "/etc/passwd"}}, "flavors.onnx.data: expected a path inside this folder"),
        ({"onnx": {"data": "../model.onnx"}}, "flavors.onnx.data: expected a path inside this folder"),
        ({"onnx": {"data": "gone.onnx"}}, "gone.onnx is not in this folder"),
        ({"crate": {}}, "flavors.crate.model: expected the name of a file"),
        ([], "flavors: expected a mapping"),
    ],
)
def test_a_flavor_that_cannot_be_served_is_refused(tmp_path: Path, flavors: Any, told: str) -> None:
    with pytest.raises(LoadError, match=told):
        read_mlmodel(write(tmp_path, flavors=flavors))


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("a: [1")

    with pytest.raises(LoadError, match="MLmodel: cannot be read as YAML"):
        read_mlmodel(tmp_path / "MLmodel")
