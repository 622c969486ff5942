"""Which shape of a body means what: one test per rule, and the refusals that name what was expected."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.errors import InvalidInput
from gateway.core.payload import Named, Payload, Records, Table
from gateway.edge.json_forms import invocations_payload, predict_payload, score_payload

ROW = {"carat": 0.23, "cut": "Ideal"}
NAMES = ["carat", "cut"]


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        ({"input_data": {"columns": NAMES, "index": [0], "data": [[0.23, "Ideal"]]}}, Table(NAMES, [[0.23, "Ideal"]])),
        ({"input_data": {"data": [[0.23, "Ideal"]]}}, Table(None, [[0.23, "Ideal"]])),
        ({"input_data": {"index": None, "data": [[0.23, "Ideal"]]}}, Table(None, [[0.23, "Ideal"]])),
        ({"input_data": {"index": ["a", "b"], "data": [[0.23], [0.5]]}}, Table(None, [[0.23], [0.5]])),
        ({"input_data": [[0.23, "Ideal"]]}, Table(None, [[0.23, "Ideal"]])),
        ({"input_data": [1.0, 2.0]}, Table(None, [1.0, 2.0])),
        ({"input_data": [ROW]}, Records([ROW])),
        ({"input_data": {"carat": [0.23], "cut": ["Ideal"]}}, Named({"carat": [0.23], "cut": ["Ideal"]})),
        ({"input_data": [ROW], "params": {}}, Records([ROW])),
        ({"data": [[0.23, "Ideal"]]}, Table(None, [[0.23, "Ideal"]])),
        ({"data": [ROW]}, Records([ROW])),
        ({"data": {"carat": [0.23]}}, Named({"carat": [0.23]})),
        ({"data": {"columns": NAMES, "data": [[0.23, "Ideal"]]}}, Table(NAMES, [[0.23, "Ideal"]])),
        ([ROW, ROW], Records([ROW, ROW])),
        ([[0.23, "Ideal"]], Table(None, [[0.23, "Ideal"]])),
        (ROW, Records([ROW])),
        ({"carat": [0.23], "cut": ["Ideal"]}, Named({"carat": [0.23], "cut": ["Ideal"]})),
    ],
)
def test_score_reads_each_form(body: Any, payload: Payload) -> None:
    assert score_payload(body) == payload


def test_a_column_called_data_beside_others_is_part_of_a_record() -> None:
    assert score_payload({"data": 1.0, "x": 2.0}) == Records([{"data": 1.0, "x": 2.0}])


def test_an_only_column_called_data_with_a_plain_value_is_a_record() -> None:
    assert score_payload({"data": 3.5}) == Records([{"data": 3.5}])


def test_a_frame_with_data_beside_other_columns_is_named_columns() -> None:
    frame = {"data": [1.0], "x": [2.0]}

    assert score_payload({"input_data": frame}) == Named(frame)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[[1, 2]]", "encoded twice"),
        (None, "null"),
        (3.5, "a number"),
        (True, "a boolean"),
        ({}, "empty"),
        ({"input_data": "x"}, "input_data: expected an object or a list, got a string"),
        ({"input_data": [ROW], "params": {"n": 1}}, "params: expected none"),
        ({"input_data": [ROW], "extra": 1}, "'extra'"),
        ({"input_data": [ROW, [1]]}, "got objects and others"),
        ({"input_data": {"columns": "carat", "data": [[1]]}}, "input_data.columns: expected a list of names"),
        ({"dataframe_split": {"data": []}}, "/invocations"),
        (
            {"input_data": {"index": [0, 1, 2], "data": [[1]]}},
            "input_data.index: expected a label for each row of data, 1, got 3",
        ),
        ({"input_data": {"index": [], "data": [[1], [2]]}}, "a label for each row of data, 2, got 0"),
        (
            {"data": {"columns": NAMES, "index": [0], "data": []}},
            "data.index: expected a label for each row of data, 0, got 1",
        ),
        ({"input_data": {"index": 0, "data": [[1]]}}, "input_data.index: expected a list of labels, got a number"),
    ],
)
def test_score_refuses_and_says_what_was_expected(body: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        score_payload(body)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        ({"dataframe_split": {"columns": NAMES, "data": [[0.23, "Ideal"]]}}, Table(NAMES, [[0.23, "Ideal"]])),
        ({"dataframe_split": {"index": [7], "data": [[0.23]]}, "params": {}}, Table(None, [[0.23]])),
        ({"dataframe_records": [ROW]}, Records([ROW])),
        ({"instances": [[0.23, "Ideal"]]}, Table(None, [[0.23, "Ideal"]])),
        ({"instances": [ROW]}, Records([ROW])),
        ({"instances": [1, 2]}, Table(None, [1, 2])),
        ({"inputs": {"carat": [0.23]}}, Named({"carat": [0.23]})),
        ({"inputs": [[0.23]]}, Table(None, [[0.23]])),
    ],
)
def test_invocations_reads_mlflows_four_keys(body: Any, payload: Payload) -> None:
    assert invocations_payload(body) == payload


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([ROW], "got a list"),
        ({"input_data": [ROW]}, "got none"),
        ({"instances": [1], "inputs": [1]}, "got instances, inputs"),
        ({"instances": [1], "signature_name": "x"}, "'signature_name'"),
        ({"dataframe_split": {"columns": NAMES}}, 'expected an object with "data"'),
        ({"dataframe_split": {"data": [], "names": []}}, "'names'"),
        ({"dataframe_split": {"index": [0, 1], "data": [[1]]}}, "dataframe_split.index: expected a label for each row"),
        ({"dataframe_records": [[1]]}, "expected a list of objects"),
        ({"instances": {"a": 1}}, "instances: expected a list, got an object"),
        ({"instances": [1], "params": {"n": 1}}, "params"),
    ],
)
def test_invocations_refuses_and_says_what_was_expected(body: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        invocations_payload(body)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        ([ROW], Records([ROW])),
        ({"carat": [0.23]}, Named({"carat": [0.23]})),
        (ROW, Records([ROW])),
    ],
)
def test_predict_reads_a_data_frame(body: Any, payload: Payload) -> None:
    assert predict_payload(body) == payload


@pytest.mark.parametrize("body", [[[1, 2]], "x", None, {}, 1])
def test_predict_refuses_anything_else(body: Any) -> None:
    with pytest.raises(InvalidInput, match="list of objects"):
        predict_payload(body)
