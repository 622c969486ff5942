"""Reading signature.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workers.runtimes.base import LoadError
from workers.signature_file import SignatureColumn, find_signature, read_signature


def write(folder: Path, document: Any) -> Path:
    path = folder / "signature.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


X = {"name": "x", "type": "float"}


def test_what_is_left_out_is_left_to_the_model(tmp_path: Path) -> None:
    signature = read_signature(write(tmp_path, {"inputs": [X]}))

    assert signature.inputs == (SignatureColumn(name="x", type="float"),)
    assert (signature.inputs[0].datatype, signature.inputs[0].shape, signature.inputs[0].nullable) == (None, None, None)
    assert (signature.outputs, signature.example) == ((), ())


def test_everything_that_is_said_is_kept_in_order(tmp_path: Path) -> None:
    cut = {"name": "cut", "type": "categorical", "levels": ["Good", "Fair"], "nullable": True}
    pixels = {"name": "pixels", "type": "integer", "datatype": "UINT8", "shape": [-1, 3]}
    signature = read_signature(
        write(tmp_path, {"inputs": [cut, pixels], "outputs": [X], "example": [["Good", [[1, 2, 3]]]]})
    )

    assert signature.inputs[0] == SignatureColumn(
        name="cut", type="categorical", levels=("Good", "Fair"), nullable=True
    )
    assert signature.inputs[1] == SignatureColumn(name="pixels", type="integer", datatype="UINT8", shape=(-1, 3))
    assert signature.example == (("Good", [[1, 2, 3]]),)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"inputs": []}, "inputs: expected at least one column"),
        ({}, "missing required field `inputs`"),
        ({"inputs": [X], "input": []}, "unknown field `input`"),
        ({"inputs": [{**X, "lvels": []}]}, r"unknown field `lvels` - at `\$\.inputs\[0\]`"),
        ({"inputs": [{**X, "type": "number"}]}, r"'number' - at `\$\.inputs\[0\]\.type`"),
        ({"inputs": [{**X, "nullable": "yes"}]}, r"`\$\.inputs\[0\]\.nullable`"),
        ({"inputs": [{**X, "name": ""}]}, r"inputs\[0\]\.name: expected a name"),
        ({"inputs": [X, X]}, r'inputs\[1\]\.name: "x" is the name of an earlier column'),
        ({"inputs": [X], "outputs": [X, X]}, r'outputs\[1\]\.name: "x"'),
        ({"inputs": [{**X, "datatype": "INT32"}]}, r'inputs\[0\]\.datatype: expected one of FP16, .* type "float"'),
        ({"inputs": [{**X, "shape": [0]}]}, r"inputs\[0\]\.shape: expected positive lengths or -1"),
        ({"inputs": [{**X, "levels": ["a"]}]}, r"inputs\[0\]\.levels: only a categorical has levels"),
        ({"inputs": [{"name": "c", "type": "categorical", "levels": []}]}, r"levels: expected at least one level"),
        ({"inputs": [{"name": "c", "type": "categorical", "levels": ["a", "a"]}]}, "levels: expected each level once"),
        ({"inputs": [X], "example": [[1, 2]]}, r"example\[0\]: expected 1 values, got 2"),
        ('{"inputs": [{"name": "x", "name": "y", "type": "float"}]}', 'the key "name" is given twice'),
        ("{", "signature.json: "),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path: Path, document: Any, told: str) -> None:
    with pytest.raises(LoadError, match=told) as caught:
        read_signature(write(tmp_path, document))

    assert str(tmp_path / "signature.json") in str(caught.value)


def test_it_is_looked_for_in_a_folder_and_beside_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, {"inputs": [X]})

    assert find_signature(tmp_path) == path
    assert find_signature(tmp_path / "model.onnx") == path


def test_a_model_may_have_none(tmp_path: Path) -> None:
    assert find_signature(tmp_path) is None
