"""Which models load, what they are found to take and give, and how the others are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.r_process import RProcess, columns_of, encode
from workers.options import GroupOptions
from workers.runtimes.base import Batch, Loaded, LoadError, ModelError
from workers.runtimes.r_embedded import check_versions, find_r
from workers.warmup import load_warm

pytestmark = pytest.mark.r


def folder_with(tmp_path: Path, model: Path | None = None, **files: str | dict[str, Any]) -> Path:
    if model is not None:
        shutil.copy(model, tmp_path / "model.rds")
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name.replace("_", ".")).write_text(text)
    return tmp_path


def warmed(r: RProcess, model: Path) -> Loaded:
    """It does what a runtime does, in another process."""
    return load_warm(r, GroupOptions(model=str(model), workers=[], max_rows=8))  # type: ignore[arg-type]


def refusal(model: Path) -> str:
    with RProcess(model) as r, pytest.raises(LoadError) as caught:
        warmed(r, model)
    return str(caught.value)


def test_a_classifier_gives_its_label_and_a_probability_per_class(models: Path) -> None:
    with RProcess(models / "rpart.rds") as r:
        loaded = r.load()

    assert [(c.name, c.kind) for c in loaded.schema.outputs] == [
        ("label", "categorical"),
        ("probability_setosa", "float"),
        ("probability_versicolor", "float"),
        ("probability_virginica", "float"),
    ]
    assert loaded.platform == "r"
    assert loaded.properties == {"class": "rpart"}


def test_predictors_come_with_the_levels_of_the_model(models: Path) -> None:
    with RProcess(models / "lm_ordered.rds") as r:
        inputs = {c.name: c for c in r.load().schema.inputs}

    assert inputs["Rank"].levels == ("low", "mid", "high")
    assert inputs["Petal.Length"].kind == "float"
    assert "Sepal.Width" not in inputs


def test_ranger_is_refused_without_levels_and_told_what_to_write(models: Path) -> None:
    message = refusal(models / "ranger.rds")

    assert '"inputs": [{"name": "Sepal.Length", "type": "float"}, {"name": "Petal.Width"' in message
    assert "levels()" in message


def test_a_forest_that_lost_the_levels_of_an_ordered_factor_names_it(models: Path) -> None:
    assert 'the levels of ["Rank"]' in refusal(models / "forest.rds")


def test_glmnet_is_refused_without_a_signature(models: Path) -> None:
    assert '"name": "wt", "type": "float"' in refusal(models / "glmnet.rds")


def test_a_class_without_a_predict_method_is_refused_by_name(models: Path) -> None:
    assert 'no predict method for class "nobody_knows"' in refusal(models / "unknown.rds")


def test_a_file_that_is_no_rds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.rds").write_bytes(b"not R")

    assert str(tmp_path / "model.rds") in refusal(tmp_path / "model.rds")


def test_levels_in_another_order_are_refused_by_column(models: Path, tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        models / "rpart_value.rds",
        signature_json={
            "inputs": [
                {"name": "wt", "type": "float"},
                {"name": "gear", "type": "categorical", "levels": ["5", "4", "3"]},
                {"name": "vs", "type": "categorical"},
            ]
        },
    )

    assert 'inputs: "gear": levels: expected those of the model in its order, ["3", "4", "5"]' in refusal(tmp_path)


def test_outputs_are_renamed_and_chosen_by_the_signature(models: Path, tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        models / "glm.rds",
        signature_json={
            "inputs": [
                {"name": "Size", "type": "categorical"},
                {"name": "Petal.Width", "type": "float", "datatype": "FP32"},
                {"name": "Sepal.Length", "type": "integer"},
            ],
            "outputs": [{"name": "probability", "type": "float"}, {"name": "class", "type": "string"}],
        },
    )
    with RProcess(tmp_path) as r:
        schema = r.load().schema
        rows: dict[str, list[Any]] = {"Size": ["grande"], "Petal.Width": [2.5], "Sepal.Length": [6]}
        found = columns_of(schema, r.score(encode(schema, rows)))

    assert found["class"] == ["virginica"]
    assert found["probability"][0] > 0.5


def test_a_model_that_fails_on_made_up_rows_asks_for_real_ones(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        score_R="predict_rows <- function(model, rows) { stopifnot(rows$x > 100); rows$x }",
        signature_json={"inputs": [{"name": "x", "type": "float"}]},
    )

    assert 'give some as "example"' in refusal(tmp_path)


def test_sample_rows_of_the_signature_are_what_the_model_is_tried_with(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        score_R="predict_rows <- function(model, rows) { stopifnot(rows$x > 100); rows$x }",
        signature_json={"inputs": [{"name": "x", "type": "float"}], "example": [[101.5]]},
    )
    with RProcess(tmp_path) as r:
        assert r.load().schema.example == ((101.5,),)


def test_a_script_may_return_intervals_as_columns(models: Path, tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        models / "lm_factor_call.rds",
        score_R='predict_rows <- function(model, rows) predict(model, rows, interval = "prediction")',
    )
    with RProcess(tmp_path) as r:
        schema = r.load().schema
        found = columns_of(schema, r.score(encode(schema, {"wt": [2.62, 3.4], "cyl": [6.0, 8.0]})))

    assert list(found) == ["fit", "lwr", "upr"]
    assert all(low < fit < high for fit, low, high in zip(*found.values(), strict=True))


def test_init_may_load_what_predict_rows_uses(models: Path, tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        models / "lm_factor_call.rds",
        score_R="""
            init <- function() list(m = readRDS(file.path(Sys.getenv("AZUREML_MODEL_DIR"), "model.rds")), plus = 1000)
            predict_rows <- function(model, rows) data.frame(price = predict(model$m, rows) + model$plus)
        """,
        signature_json={
            "inputs": [{"name": "wt", "type": "float"}, {"name": "cyl", "type": "integer"}],
            "example": [[2.62, 6]],
        },
    )
    with RProcess(tmp_path) as r:
        schema = r.load().schema
        found = columns_of(schema, r.score(encode(schema, {"wt": [2.62], "cyl": [6]})))

    assert found["price"][0] > 1000


@pytest.mark.parametrize(
    "script",
    [
        "init <- function() { k <- 2; function(data) jsonlite::toJSON(k * jsonlite::fromJSON(data)$x) }",
        "k <- 2\nrun <- function(data) jsonlite::toJSON(k * jsonlite::fromJSON(data)$x)",
        "init <- function() k <<- 2\nrun <- function(data) jsonlite::toJSON(k * jsonlite::fromJSON(data)$x)",
    ],
)
def test_a_script_in_the_words_of_azure_takes_and_gives_text(tmp_path: Path, script: str) -> None:
    folder_with(tmp_path, score_R=script)
    with RProcess(tmp_path) as r:
        loaded = r.load()
        result = r.score(Batch(1, b"", [['{"x": [1, 2.5]}']]))

    assert loaded.max_rows == 1
    assert [c.name for c in loaded.schema.inputs] == ["data"]
    assert result.texts == [["[2,5]"]]


PICKY = """
init <- function() {
  function(data) {
    cat(data, "\\n", file = "asked", append = TRUE)
    jsonlite::toJSON(2 * jsonlite::fromJSON(data)$x)
  }
}
"""
DATA = {"name": "data", "type": "string"}


def test_a_script_that_takes_no_made_up_request_is_asked_none(tmp_path: Path) -> None:
    folder_with(tmp_path, score_R=PICKY)
    with RProcess(tmp_path) as r:
        loaded = warmed(r, tmp_path)
        result = r.score(Batch(1, b"", [['{"x": [1, 2.5]}']]))

    assert (loaded.schema.example, loaded.may_make_up) == ((), False)
    assert (tmp_path / "asked").read_text() == '{"x": [1, 2.5]} \n'
    assert result.texts == [["[2,5]"]]


@pytest.mark.parametrize("request_", ['{"x": [1, 2.5], "o": "é"}', {"x": [1, 2.5], "o": "é"}])
def test_the_example_of_a_script_may_be_the_text_or_the_json_itself(tmp_path: Path, request_: Any) -> None:
    folder_with(tmp_path, score_R=PICKY, signature_json={"inputs": [DATA], "example": [[request_]]})
    with RProcess(tmp_path) as r:
        loaded = warmed(r, tmp_path)

    assert loaded.schema.example == (('{"x": [1, 2.5], "o": "é"}',),)
    assert (tmp_path / "asked").read_text().splitlines() == ['{"x": [1, 2.5], "o": "é"} '] * 2


def test_a_script_that_cannot_score_its_example_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder_with(tmp_path, score_R=PICKY, signature_json={"inputs": [DATA], "example": [[{"x": ["one"]}]]})
    message = refusal(tmp_path)

    assert message.startswith(f"{tmp_path}: the example cannot be scored (1 rows at once): ")
    assert "non-numeric argument to binary operator" in message


def test_every_example_of_a_script_is_scored(tmp_path: Path) -> None:
    examples = [[{"x": [1]}], [{"x": [2]}], [{"x": ["three"]}]]
    folder_with(tmp_path, score_R=PICKY, signature_json={"inputs": [DATA], "example": examples})
    with RProcess(tmp_path) as r, pytest.raises(LoadError, match="non-numeric argument"):
        warmed(r, tmp_path)


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ({"inputs": [{"name": "x", "type": "float"}]}, "inputs: a script that takes the text of a request has"),
        ({"inputs": [DATA, {"name": "x", "type": "float"}]}, '"data", "type": "string"}; for other columns define'),
        ({"inputs": [DATA | {"shape": [2]}]}, "inputs: a script that takes the text"),
        ({"inputs": [DATA | {"nullable": True}]}, "inputs: a script that takes the text"),
        ({"inputs": [DATA], "outputs": [{"name": "y", "type": "float"}]}, "outputs: a script that takes the text"),
    ],
)
def test_a_signature_that_says_anything_but_the_convention_is_refused(
    tmp_path: Path, signature: dict[str, Any], told: str
) -> None:
    assert told in refusal(folder_with(tmp_path, score_R=PICKY, signature_json=signature))


def test_a_model_that_fails_on_one_row_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        score_R="predict_rows <- function(model, rows) { if (nrow(rows) < 2) stop('lonely'); rows$x }",
        signature_json={"inputs": [{"name": "x", "type": "float"}]},
    )

    assert refusal(tmp_path) == (
        f"{tmp_path}: a made-up row cannot be scored (1 rows at once): lonely; "
        'if the model needs real ones, give some as "example" in signature.json'
    )


def test_a_model_that_fails_on_its_own_example_is_not_asked_for_one(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        score_R="predict_rows <- function(model, rows) { if (any(rows$x > 100)) stop('too much'); rows$x }",
        signature_json={"inputs": [{"name": "x", "type": "float"}], "example": [[1], [101.5]]},
    )

    assert refusal(tmp_path) == f"{tmp_path}: the example cannot be scored (3 rows at once): too much"


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ({"type": "categorical", "levels": ["a", "b"]}, "c", "expected one of a, b"),
        ({"type": "float"}, "1", "expected float"),
        ({"type": "integer"}, 1.5, "expected integer"),
    ],
)
def test_an_example_that_does_not_fit_its_column_is_refused(
    tmp_path: Path, column: dict[str, Any], value: Any, told: str
) -> None:
    folder_with(
        tmp_path,
        score_R="predict_rows <- function(model, rows) seq_len(nrow(rows))",
        signature_json={"inputs": [{"name": "x", **column}], "example": [[value]]},
    )

    assert refusal(tmp_path) == f'signature.json: example[0]: column "x": {told}'


def test_an_example_that_r_cannot_hold_is_refused(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        score_R="predict_rows <- function(model, rows) nchar(rows$x)",
        signature_json={"inputs": [{"name": "x", "type": "string"}], "example": [["a\0b"]]},
    )

    assert "the example cannot be scored (3 rows at once): a text holds a NUL character" in refusal(tmp_path)


def test_what_a_model_warns_of_while_its_columns_are_found_is_told(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        score_R="predict_rows <- function(model, rows) { if (nrow(rows) == 3) warning('three'); rows$x }",
        signature_json={"inputs": [{"name": "x", "type": "float"}]},
    )
    with RProcess(tmp_path) as r:
        assert r.load().warnings == [("three", "simpleWarning")]


def test_a_script_that_answers_with_a_list_gets_json(tmp_path: Path) -> None:
    folder_with(tmp_path, score_R="run <- function(data) list(said = data, n = 1, none = NULL)")
    with RProcess(tmp_path) as r:
        r.load()

        assert json.loads(r.score(Batch(1, b"", [["é"]])).texts[0][0] or "") == {"said": "é", "n": 1, "none": None}


def test_a_script_that_defines_nothing_is_refused(tmp_path: Path) -> None:
    assert "neither predict_rows" in refusal(folder_with(tmp_path, score_R="x <- 1"))


def test_a_script_with_a_typing_error_is_refused_with_the_place(tmp_path: Path) -> None:
    assert "score.R" in refusal(folder_with(tmp_path, score_R="run <- function(data {"))


def test_an_mlflow_crate_is_called_with_a_data_frame(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "crate.bin", tmp_path)
    (tmp_path / "MLmodel").write_text("flavors:\n  crate:\n    version: 0.1.0\n    model: crate.bin\n")
    folder_with(tmp_path, signature_json={"inputs": [{"name": "wt", "type": "float"}]})
    with RProcess(tmp_path) as r, RProcess(models / "lm_factor_call.rds") as other:
        schema = r.load().schema
        found = columns_of(schema, r.score(encode(schema, {"wt": [2.0, 3.0]})))
        assert other.load().properties["class"] == "lm"

    assert found["prediction"] == pytest.approx([1 + 37.2851 - 5.3445 * wt for wt in (2.0, 3.0)], abs=1e-3)


def test_a_script_error_at_scoring_is_the_models(tmp_path: Path) -> None:
    folder_with(tmp_path, score_R="run <- function(data) stop('no such customer')")
    with RProcess(tmp_path) as r:
        r.load()
        with pytest.raises(ModelError, match="no such customer"):
            r.score(Batch(1, b"", [["{}"]]))


def test_one_other_r_is_started_at_most_to_find_out_how_r_is_set_up(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = find_r()
    here, started = tmp_path / "R", tmp_path / "started"
    (here / "bin").mkdir(parents=True)
    for file in [*home.iterdir(), *(home / "bin").iterdir()]:
        if file.name not in ("bin", "Rscript"):
            (here / file.relative_to(home)).symlink_to(file)
    script = here / "bin" / "Rscript"
    script.write_text(f'#!/bin/sh\necho "$@" >> {started}\nexec {home}/bin/Rscript "$@"\n')
    script.chmod(0o700)
    monkeypatch.setenv("R_HOME", str(here))
    with RProcess(models / "rpart.rds") as r:
        r.load()

    assert len(started.read_text().splitlines()) == 1


def test_an_rpy2_that_needs_a_newer_r_is_refused_before_it_is_imported() -> None:
    with pytest.raises(LoadError, match=r"rpy2-rinterface 3\.6\.6 needs R 4\.5 or later and R is 4\.2\.2"):
        check_versions("4.2.2", "3.6.6")


@pytest.mark.parametrize(("r", "rpy2"), [("4.2.2", "3.6.5"), ("4.5.0", "3.6.6"), ("4.5.1", "3.7")])
def test_versions_that_fit_are_taken(r: str, rpy2: str) -> None:
    check_versions(r, rpy2)


def test_a_machine_without_r_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)

    with pytest.raises(LoadError, match="there is no R on PATH"):
        find_r()
