"""What a folder holds says which engine serves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.loader import detect, open_runtime
from workers.options import GroupOptions
from workers.runtimes.base import LoadError
from workers.runtimes.onnx import OnnxRuntime


def folder(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).touch()
    return path


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        (["model.onnx", "signature.json", "weights.bin"], "onnx"),
        (["model.rds"], "r"),
        (["forest.RDS", "score.R"], "r"),
        (["score.R"], "r"),
    ],
)
def test_the_files_of_a_folder_decide(tmp_path: Path, names: list[str], engine: str) -> None:
    assert detect(folder(tmp_path, *names)) == engine


@pytest.mark.parametrize(("name", "engine"), [("any.onnx", "onnx"), ("any.rds", "r"), ("any.ONNX", "onnx")])
def test_the_ending_of_a_single_file_decides(tmp_path: Path, name: str, engine: str) -> None:
    assert detect(folder(tmp_path, name) / name) == engine


@pytest.mark.parametrize(
    ("flavors", "engine"), [("onnx: {data: m.bin}", "onnx"), ("crate: {version: 0.1.0, model: m.bin}", "r")]
)
def test_an_mlflow_folder_is_of_its_flavor(tmp_path: Path, flavors: str, engine: str) -> None:
    folder(tmp_path, "m.bin", "other.onnx")
    (tmp_path / "MLmodel").write_text("flavors:\n  " + flavors)

    assert detect(tmp_path) == engine


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "found nothing; expected model.onnx"),
        (["net.onnx"], "found net.onnx; expected model.onnx"),
        (["model.onnx", "model.rds"], "holds model.onnx and model.rds; expected one model a folder"),
        ([f"{i}.txt" for i in range(10)], "and 2 more; expected"),
    ],
)
def test_a_folder_that_says_nothing_or_two_things_is_refused(tmp_path: Path, names: list[str], told: str) -> None:
    with pytest.raises(LoadError, match=told):
        detect(folder(tmp_path, *names))


def test_a_path_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="nothing: no such file or folder"):
        detect(tmp_path / "nothing")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"ends in \.onnx or \.rds"):
        detect(folder(tmp_path, "model.pkl") / "model.pkl")


def test_opening_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model at all")

    assert isinstance(open_runtime(GroupOptions(model=str(tmp_path), workers=[])), OnnxRuntime)
