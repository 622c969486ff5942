"""A batch answers what plain R's ``predict`` answers row by row, to the last bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.r_process import RProcess, columns_of, encode, read

pytestmark = pytest.mark.r

SPECIES = {"setosa", "versicolor", "virginica"}
SELF_DESCRIBING = (
    "lm", "lm_ordered", "lm_factor_call", "lm_text", "glm", "glm_poisson", "rpart", "rpart_loss", "rpart_value",
    "forest_value", "gbm", "gbm_value", "gbm_multinomial", "nnet", "nnet_binary", "multinom", "gam",
    "gam_binomial", "coxph", "coxph_strata", "survreg", "svm", "loess",
)  # fmt: skip
NEED_A_SIGNATURE = (
    "forest", "ranger", "ranger_class", "ranger_value", "glmnet", "glmnet_binomial", "glmnet_multinomial",
)  # fmt: skip
LEVELS = {"Size": ["small", "grande"], "gear": ["3", "4", "5"], "Rank": ["low", "mid", "high"]}


def declared(rows: dict[str, list[Any]]) -> dict[str, Any]:
    def column(name: str) -> dict[str, Any]:
        if name in LEVELS:
            return {"name": name, "type": "categorical", "levels": LEVELS[name]}
        return {"name": name, "type": "float"}

    return {"inputs": [column(name) for name in rows]}


def check(model: Path, rows: dict[str, list[Any]], expected: dict[str, list[Any]]) -> None:
    with RProcess(model) as r:
        schema = r.load().schema
        together = columns_of(schema, r.score(encode(schema, rows)))
        single = columns_of(schema, r.score(encode(schema, {name: values[:1] for name, values in rows.items()})))

    assert together == expected
    assert single == {name: values[:1] for name, values in expected.items()}


@pytest.mark.parametrize("name", SELF_DESCRIBING)
def test_a_batch_is_bit_identical_to_row_by_row(models: Path, name: str) -> None:
    check(models / f"{name}.rds", *read(models, name))


@pytest.mark.parametrize("name", NEED_A_SIGNATURE)
def test_a_batch_with_a_signature_is_bit_identical_too(models: Path, tmp_path: Path, name: str) -> None:
    rows, expected = read(models, name)
    shutil.copy(models / f"{name}.rds", tmp_path / "model.rds")
    (tmp_path / "signature.json").write_text(json.dumps(declared(rows)))

    check(tmp_path, rows, expected)


def test_columns_may_be_declared_in_another_order_than_in_training(models: Path, tmp_path: Path) -> None:
    rows, expected = read(models, "glmnet")
    rows = dict(reversed(rows.items()))
    shutil.copy(models / "glmnet.rds", tmp_path / "model.rds")
    (tmp_path / "signature.json").write_text(json.dumps(declared(rows)))

    check(tmp_path, rows, expected)
