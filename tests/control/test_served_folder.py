"""A folder becomes a document that says the same, and a document becomes the configuration that the folder would."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config import Settings, compose, load, read_folder
from gateway.control.document import Document, content_digest
from gateway.control.served_folder import yaml_files
from gateway.core.errors import ConfigError
from tests.support.control_folder import PRICE, make_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "served")


def changed(document: Document, change: Callable[[Any], object]) -> Document:
    data = msgspec.json.decode(msgspec.json.encode(document))
    change(data)
    return msgspec.convert(data, Document)


def test_a_document_says_what_is_written_with_absolute_paths(root: Path) -> None:
    document = read_folder(root)

    assert document.endpoints["price"] == {
        "name": "price",
        "traffic": {"blue": 90, "green": 10},
        "deployments": {
            "blue": {"model": str(root / "models" / "blue.onnx"), "features": {"carat": "diamonds:carat"}},
            "green": {"model": str(root / "models" / "green"), "workers": 2},
        },
    }
    assert list(document.endpoints) == ["price", "tumor"]
    assert document.views["diamonds"]["seed"] == str(root / "features" / "diamonds.csv")
    assert set(document.models) == {str(root / "models" / "blue.onnx"), str(root / "models" / "green")}


def test_a_document_of_a_folder_is_composed_to_what_load_reads(root: Path) -> None:
    assert compose(read_folder(root), root, Settings()) == load(root)


def test_a_document_is_the_same_after_a_way_through_json(root: Path) -> None:
    document = read_folder(root)
    again = msgspec.json.decode(msgspec.json.encode(document), type=Document)

    assert again == document
    assert content_digest(again) == content_digest(document)


def test_a_single_model_is_a_document_too(root: Path) -> None:
    model = root / "models" / "blue.onnx"
    document = read_folder(model)

    assert document.endpoints == {"blue": {"name": "blue", "deployments": {"blue": {"model": str(model)}}}}
    assert compose(document, model, Settings()) == load(model)


def test_paths_keep_the_link_that_git_sync_swaps(root: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(root)
    before = read_folder(tmp_path / "current")
    shutil.copytree(root, tmp_path / "next")
    (tmp_path / "link").symlink_to(tmp_path / "next")
    (tmp_path / "link").rename(tmp_path / "current")

    assert content_digest(read_folder(tmp_path / "current")) == content_digest(before)
    assert str(tmp_path / "current" / "models" / "green") in before.models


def test_dots_behind_a_link_lead_where_the_system_goes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "front").mkdir()
    (tmp_path / "front" / "endpoints").symlink_to(root / "endpoints")
    (tmp_path / "front" / "features").symlink_to(root / "features")

    assert str(root / "models" / "green") in read_folder(tmp_path / "front").models


def test_another_byte_of_a_model_makes_another_content(root: Path) -> None:
    before = content_digest(read_folder(root))
    (root / "models" / "green" / "model.rds").write_bytes(b"GREEN")

    assert content_digest(read_folder(root)) != before


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("workers: 2", "workers: two", r"price\.yaml, line 10: deployments\.green\.workers: expected"),
        ("green: 10", "green: 7", r"price\.yaml, line 3: traffic: expected a sum of 100"),
        (
            "workers: 2",
            "provider_options: {a: .inf}",
            r"price\.yaml: deployments\.green\.provider_options\.a: expected a finite",
        ),
        ("name: price", "name: tumor", r'tumor\.yaml: endpoint "tumor" is defined in another file too, \w+\.yaml'),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(root: Path, old: str, new: str, told: str) -> None:
    (root / "endpoints" / "price.yaml").write_text(PRICE.replace(old, new))

    with pytest.raises(ConfigError, match=told):
        read_folder(root)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["endpoints"].clear(), "endpoints: expected at least one"),
        (lambda d: d["endpoints"]["price"].update(trafic={}), r"endpoints\.price: .*unknown field `trafic`"),
        (
            lambda d: d["endpoints"]["price"]["deployments"]["green"].update(workers=0),
            r"endpoints\.price\.deployments\.green: workers: expected 1 to 1024, got 0",
        ),
        (
            lambda d: d["endpoints"]["price"]["deployments"]["green"].update(model="models/green"),
            r"endpoints\.price\.deployments\.green\.model: expected an absolute path, got 'models/green'",
        ),
        (
            lambda d: d["endpoints"]["price"]["deployments"]["green"].update(model="/nowhere"),
            r"endpoints\.price\.deployments\.green\.model: /nowhere does not exist",
        ),
        (
            lambda d: d["endpoints"]["price"]["deployments"]["blue"].update(features={"carat": "gems:carat"}),
            r'endpoints\.price\.deployments\.blue\.features\.carat: no view "gems", there is diamonds',
        ),
        (
            lambda d: d["endpoints"]["price"].update(name="cost"),
            r'endpoints\.price\.name: expected "price", got "cost"',
        ),
        (
            lambda d: d["views"]["diamonds"].update(seed="/none.csv"),
            r"views\.diamonds\.seed: /none\.csv does not exist",
        ),
        (lambda d: d["views"]["diamonds"].update(features=[]), r"views\.diamonds: features: expected at least one"),
        (
            lambda d: d["models"].update(dict.fromkeys(d["models"], "0")),
            r"endpoints\.price\.deployments\.blue\.model: the files of .* are not those of version 0",
        ),
    ],
)
def test_a_mistake_in_a_document_is_told_with_its_key(root: Path, change: Callable[[Any], object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        compose(changed(read_folder(root), change), root, Settings())


def test_the_same_name_for_an_endpoint_and_a_view_does_not_mix_up_their_files(root: Path) -> None:
    (root / "endpoints" / "tumor.yaml").write_text("name: diamonds\ndeployments: {a: {model: /nowhere}}\n")

    with pytest.raises(ConfigError, match=r"endpoints/tumor\.yaml: deployments\.a\.model: /nowhere does not exist"):
        load(root)


def test_what_json_cannot_hold_becomes_text(root: Path) -> None:
    file = root / "endpoints" / "tumor.yaml"
    file.write_text("name: t\ndeployments: {a: {model: /m, provider_options: {since: 2026-01-02}}}\n")

    assert read_folder(root).endpoints["t"]["deployments"]["a"]["provider_options"] == {"since": "2026-01-02"}


def test_a_model_that_is_not_there_has_no_digest_and_is_refused_when_composed(root: Path) -> None:
    (root / "models" / "blue.onnx").unlink()
    document = read_folder(root)

    assert set(document.models) == {str(root / "models" / "green")}
    with pytest.raises(ConfigError, match=r"models/blue\.onnx does not exist"):
        compose(document, root, Settings())


def test_files_of_a_folder_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.yaml.new", "c.txt", ".d.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "gone.yaml").symlink_to("nowhere")

    assert [path.name for path in yaml_files(tmp_path)] == [".d.yaml", "a.yml", "b.yaml", "gone.yaml"]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert [yaml_files(tmp_path / name) for name in ("none", "file", "file/below")] == [[], [], []]


def test_a_folder_that_may_not_be_listed_has_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.listdir", refuse)

    assert yaml_files(tmp_path) == []
