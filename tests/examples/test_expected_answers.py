"""
The example models, their sample requests and the answers beside them belong together.

The answers are computed again by plain R and plain ONNX Runtime, in processes that know nothing of Lockgate, and
compared to the last bit: a model, request or answer that was changed alone fails here.
"""

from __future__ import annotations

import csv
import json
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ENDPOINTS = ("diamond-price", "tumor")
DEPLOYMENTS = [(endpoint, deployment) for endpoint in ENDPOINTS for deployment in ("blue", "green")]

plain_answers: Callable[..., dict[str, list[Any]]] = runpy.run_path(str(EXAMPLES / "training" / "samples.py"))[
    "plain_answers"
]


def model_folder(endpoint: str, deployment: str) -> Path:
    document = yaml.safe_load((EXAMPLES / "endpoints" / f"{endpoint}.yaml").read_text(encoding="utf-8"))
    return (EXAMPLES / "endpoints" / str(document["deployments"][deployment]["model"])).resolve()


def signature(endpoint: str, deployment: str) -> Any:
    return json.loads((model_folder(endpoint, deployment) / "signature.json").read_text(encoding="utf-8"))


def expected(endpoint: str, deployment: str) -> Any:
    path = EXAMPLES / "requests" / f"{endpoint}.{deployment}.expected.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("rows_per_call", [200, 7, 1])
@pytest.mark.parametrize(("endpoint", "deployment"), DEPLOYMENTS)
def test_a_model_answers_as_written_down_whatever_the_batch(endpoint: str, deployment: str, rows_per_call: int) -> None:
    (model,) = model_folder(endpoint, deployment).glob("model.*")

    answers = plain_answers(model, EXAMPLES / "requests" / f"{endpoint}.csv", rows_per_call)

    assert answers == expected(endpoint, deployment)


@pytest.mark.parametrize(("endpoint", "deployment"), DEPLOYMENTS)
def test_every_output_of_the_signature_is_written_down_for_200_rows(endpoint: str, deployment: str) -> None:
    names = [column["name"] for column in signature(endpoint, deployment)["outputs"]]

    assert {name: len(values) for name, values in expected(endpoint, deployment).items()} == dict.fromkeys(names, 200)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_both_deployments_of_an_endpoint_have_the_same_columns(endpoint: str, side: str) -> None:
    blue, green = (
        [(column["name"], column["type"], column.get("levels")) for column in signature(endpoint, deployment)[side]]
        for deployment in ("blue", "green")
    )

    assert blue == green


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_csv_and_the_json_request_hold_the_same_rows(endpoint: str) -> None:
    body = json.loads((EXAMPLES / "requests" / f"{endpoint}.json").read_text(encoding="utf-8"))["input_data"]
    with (EXAMPLES / "requests" / f"{endpoint}.csv").open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    values = [
        [text if isinstance(value, str) else float(text) for text, value in zip(line, row, strict=True)]
        for line, row in zip(lines, body["data"], strict=True)
    ]

    assert (header, values) == (body["columns"], body["data"])


def test_r_trains_on_the_levels_that_the_signature_declares() -> None:
    script = 'source("levels.R"); cat(jsonlite::toJSON(diamond_levels))'
    printed = subprocess.run(
        ["Rscript", "-e", script], cwd=EXAMPLES / "training", check=True, capture_output=True, text=True
    ).stdout
    inputs = signature("diamond-price", "blue")["inputs"]

    assert json.loads(printed) == {column["name"]: column["levels"] for column in inputs if "levels" in column}


def test_the_models_together_stay_small_enough_for_a_repository() -> None:
    assert sum(path.stat().st_size for path in (EXAMPLES / "models").rglob("*")) <= 10 * 2**20
