"""A wrong view or binding is refused with the file, the line or key, and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load
from gateway.core.errors import ConfigError
from gateway.core.signature import Kind, Signature
from gateway.features.bind import bind
from gateway.features.config import FeatureStoreConfig
from tests.support.features import column, view

VIEW = """\
name: diamonds
entities:
  - {name: diamond_id, type: int64}
features:
  - {name: carat, type: float64, default: 0.5, on_missing: default}
  - {name: cut, type: string, freshness: 7d}
seed: diamonds.csv
example: {diamond_id: 5}
"""
ENDPOINT = """\
name: price
deployments:
  blue:
    model: ../model.onnx
    features:
      carat: diamonds:carat
"""


@pytest.fixture
def served(tmp_path: Path) -> Path:
    for folder in ("features", "endpoints"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model.onnx").touch()
    (tmp_path / "features" / "diamonds.csv").touch()
    (tmp_path / "features" / "diamonds.yaml").write_text(VIEW)
    (tmp_path / "endpoints" / "price.yaml").write_text(ENDPOINT)
    return tmp_path


def test_views_are_read_beside_endpoints(served: Path) -> None:
    config = load(served)

    assert config.views["diamonds"].features[0].default_value == 0.5
    assert config.views["diamonds"].seed == served / "features" / "diamonds.csv"
    assert config.endpoints["price"].deployments["blue"].features == {"carat": "diamonds:carat"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("type: float64", "type: double", r"diamonds\.yaml, line 5: .*expected one of int64"),
        ("default: 0.5", "default: half", r"diamonds\.yaml, line 5: .*default: expected a number"),
        ("default: 0.5, ", "", "carat: expected a default, its policy is to use it"),
        ("freshness: 7d", "freshness: 7w", "expected a length of time"),
        ("freshness: 7d", "fresh: 7d", "unknown field `fresh`"),
        ("seed: diamonds.csv", "seed: stones.csv", r"seed: .*stones\.csv does not exist"),
        ("example: {diamond_id: 5}", "example: {stone: 5}", "example: expected a value for each of diamond_id"),
        ("example: {diamond_id: 5}", "example: {diamond_id: five}", "example: diamond_id: expected a whole number"),
        ("name: cut", "name: carat", "carat is there twice"),
    ],
)
def test_a_wrong_view_is_refused_with_its_file(served: Path, old: str, new: str, told: str) -> None:
    (served / "features" / "diamonds.yaml").write_text(VIEW.replace(old, new, 1))

    with pytest.raises(ConfigError, match=told):
        load(served)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("gems:carat", r'price\.yaml: deployments\.blue\.features\.carat: no view "gems", there is diamonds'),
        ("diamonds:karat", 'view "diamonds" has no feature "karat", it has carat, cut'),
        ("carat", "expected view:feature for carat"),
    ],
)
def test_a_binding_to_what_is_not_there_is_refused_with_its_file(served: Path, source: str, told: str) -> None:
    (served / "endpoints" / "price.yaml").write_text(ENDPOINT.replace("diamonds:carat", source))

    with pytest.raises(ConfigError, match=told):
        load(served)


def test_two_files_of_one_view_are_refused(served: Path) -> None:
    (served / "features" / "again.yaml").write_text(VIEW)

    with pytest.raises(ConfigError, match="is defined in another file too"):
        load(served)


def test_the_url_comes_from_the_environment_where_none_is_configured() -> None:
    environment = {"REDIS_URL": "redis://there"}

    assert FeatureStoreConfig().with_url(environment).url == "redis://there"
    assert FeatureStoreConfig(url="redis://here").with_url(environment).url == "redis://here"


MODEL = Signature(
    inputs=(
        column("carat"),
        column("cut", Kind.CATEGORICAL, "BYTES", levels=("Fair", "Good")),
        column("note", Kind.STRING, "BYTES", nullable=True),
        column("v", shape=(2,)),
        column("id", Kind.INTEGER, "INT64"),
    ),
    outputs=(),
    example=((0.5, "Fair", "x", [1.0, 2.0], 3),),
)


def test_clients_send_what_is_not_bound_and_then_the_keys() -> None:
    views = {
        "a": view("a", {"k": "string"}, {"x": "float64", "y": "list[float64]"}, example={"k": "me"}),
        "b": view("b", {"id": "int64", "k": "string"}, {"z": "string"}, example={"id": 7, "k": "me"}),
    }
    binding = bind("e/d", MODEL, {"carat": "a:x", "v": "a:y", "note": "b:z"}, views)

    assert [each.name for each in binding.signature.inputs] == ["cut", "id", "k"]
    assert binding.signature.example == (("Fair", 7, "me"),)


def test_an_example_is_shown_only_when_all_of_it_is_known() -> None:
    binding = bind("e/d", MODEL, {"carat": "a:x"}, {"a": view("a", {"k": "string"}, {"x": "float64"})})

    assert binding.signature.example == ()


@pytest.mark.parametrize(
    ("name", "feature", "more", "told"),
    [
        ("carrot", "float64", {}, "features.carrot: the model has no such input, it has carat, cut"),
        ("carat", "string", {}, "expected a feature for a float, a:x is string"),
        ("carat", "bool", {}, "expected a feature for a float, a:x is bool"),
        ("id", "float64", {}, "expected a feature for a integer"),
        ("cut", "int64", {}, "expected a feature for a categorical"),
        ("v", "float64", {}, r"the model takes shape \[2\], a:x is float64"),
        ("carat", "list[float64]", {}, r"the model takes single values, a:x is list\[float64\]"),
        ("carat", "float64", {"on_missing": "null"}, "the model takes no null"),
        ("carat", "float64", {"on_stale": "null"}, "the model takes no null"),
        ("cut", "string", {"default": "Shiny"}, 'the default of a:x is nothing for the model: .*one of "Fair"'),
        ("v", "list[float64]", {"default": [1.0]}, "the default of a:x is nothing for the model"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_when_the_model_is_known(
    name: str, feature: str, more: dict[str, object], told: str
) -> None:
    views = {"a": view("a", {"k": "string"}, {"x": {"type": feature, **more}})}

    with pytest.raises(ConfigError, match=told):
        bind("e/d", MODEL, {name: "a:x"}, views)


@pytest.mark.parametrize(
    ("entities", "features", "told"),
    [
        ({"a": {"id": "string"}}, {"carat": "a:x"}, '"id" and the key of view "a" are not of one type'),
        ({"a": {"id": "int64"}}, {"carat": "a:x", "id": "a:n"}, 'it is the key of view "a"'),
        (
            {"a": {"k": "int64"}, "b": {"k": "string"}},
            {"carat": "a:x", "note": "b:s"},
            'disagree about the type of "k"',
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    entities: dict[str, dict[str, str]], features: dict[str, str], told: str
) -> None:
    views = {name: view(name, keys, {"x": "float64", "n": "int64", "s": "string"}) for name, keys in entities.items()}

    with pytest.raises(ConfigError, match=told):
        bind("e/d", MODEL, features, views)
