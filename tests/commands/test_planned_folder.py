"""A gateway without a supervisor follows its folder and its plan."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gateway.commands.planned_folder import PlannedFolder
from gateway.core.errors import ConfigError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "endpoints").mkdir()
    (tmp_path / "m.onnx").touch()
    write(tmp_path, 100)
    (tmp_path / "plan.json").write_text(json.dumps({"e": {"blue": ["unix:/w"], "green": ["unix:/v"]}}))
    return tmp_path


def write(root: Path, blue: int) -> None:
    (root / "endpoints" / "e.yaml").write_text(
        f"name: e\ntraffic: {{blue: {blue}, green: {100 - blue}}}\n"
        "deployments:\n  blue: {model: ../m.onnx}\n  green: {model: ../m.onnx}\n"
    )


def test_what_is_there_at_the_start_is_version_1(root: Path) -> None:
    served = PlannedFolder(root, root / "plan.json").read()

    assert served.version == 1
    assert served.plan["e"]["green"] == ["unix:/v"]


def test_a_change_counts_when_two_looks_agree(root: Path) -> None:
    folder = PlannedFolder(root, root / "plan.json")
    folder.read()
    unchanged = folder.newest()
    write(root, 9)
    first, second = folder.newest(), folder.newest()

    assert (unchanged, first) == (None, None)
    assert second is not None
    assert (second.version, second.endpoints["e"]["traffic"]) == (2, {"blue": 9, "green": 91})


def test_a_plan_that_is_no_plan_is_told(root: Path) -> None:
    (root / "plan.json").write_text("[]")
    with pytest.raises(ConfigError, match="plan file"):
        PlannedFolder(root, root / "plan.json").read()


def test_a_file_that_is_wrong_is_told_and_read_again_when_it_is_mended(root: Path) -> None:
    folder = PlannedFolder(root, root / "plan.json")
    folder.read()
    (root / "endpoints" / "e.yaml").write_text("name: e\nno_such: 1\n")
    folder.newest()
    with pytest.raises(ConfigError, match="no_such"):
        folder.newest()
    write(root, 50)
    folder.newest()
    mended = folder.newest()

    assert mended is not None
    assert mended.version == 2


def test_a_file_that_is_wrong_is_not_read_again_before_it_changes(root: Path) -> None:
    folder = PlannedFolder(root, root / "plan.json")
    folder.read()
    (root / "endpoints" / "e.yaml").write_text("name: e\nno_such: 1\n")
    folder.newest()
    with pytest.raises(ConfigError):
        folder.newest()

    assert folder.newest() is None


def test_a_link_to_the_folder_that_is_swapped_is_followed(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "next")
    link = tmp_path / "current"
    link.symlink_to(tmp_path)
    folder = PlannedFolder(link, root / "plan.json")
    folder.read()
    write(tmp_path / "next", 7)
    (tmp_path / "link").symlink_to("next")
    (tmp_path / "link").rename(link)
    folder.newest()
    found = folder.newest()

    assert found is not None
    assert found.endpoints["e"]["traffic"]["blue"] == 7
    assert list(found.models) == [str(link / "m.onnx")]


def test_a_model_whose_files_are_replaced_is_another_one(root: Path) -> None:
    folder = PlannedFolder(root, root / "plan.json")
    models = [folder.read().models, folder.read().models]
    (root / "m.onnx").write_bytes(b"new")
    models.append(folder.read().models)

    assert models[0] == models[1] != models[2]
