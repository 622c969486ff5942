"""Endpoints in the protocol's words."""

from __future__ import annotations

import json

import pytest

from gateway.core.catalog import DeploymentState, EndpointState
from gateway.core.errors import InvalidInput, NotFound, NotReady
from gateway.core.request import Deployment
from gateway.core.signature import Signature
from gateway.edge.oip_metadata import (
    find_version,
    model_config,
    model_metadata,
    pinned,
    repository_index,
    statistics,
    timeout_us,
    version_name,
)
from tests.support.oip_stack import OipStack, column

STACK = OipStack()
ECHO = STACK.endpoint("echo")
LOADING = STACK.endpoint("loading")


@pytest.mark.parametrize(
    ("requested", "name"), [("green", "green"), ("1", "blue"), ("2", "green"), ("3", None), ("0", None), ("²", None)]
)
def test_a_version_is_a_name_or_a_position(requested: str, name: str | None) -> None:
    assert version_name(ECHO, requested) == name


def test_without_a_version_the_deployment_with_most_traffic_speaks() -> None:
    assert find_version(ECHO, "").name == "blue"


def test_an_unknown_version_is_not_found() -> None:
    with pytest.raises(NotFound, match='model "echo" has no version "9"'):
        find_version(ECHO, "9")


def test_a_pin_is_the_name_behind_a_number() -> None:
    assert pinned(STACK, "echo", "2", "") == "green"


def test_what_does_not_exist_is_left_to_routing() -> None:
    assert (pinned(STACK, "nowhere", "2", ""), pinned(STACK, "echo", "7", "")) == ("2", "7")


def test_version_and_header_may_say_the_same() -> None:
    assert pinned(STACK, "echo", "2", "green") == "green"


def test_version_and_header_may_not_differ() -> None:
    with pytest.raises(InvalidInput):
        pinned(STACK, "echo", "1", "green")


def test_metadata_has_a_tensor_for_every_column() -> None:
    assert model_metadata(ECHO, "")["inputs"] == [
        {"name": "carat", "datatype": "FP64", "shape": [-1, 1]},
        {"name": "table", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "count", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "sold", "datatype": "BOOL", "shape": [-1, 1]},
        {"name": "cut", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "note", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "size", "datatype": "FP32", "shape": [-1, 3]},
    ]


def test_config_leaves_the_rows_out_of_its_dimensions() -> None:
    config = model_config(ECHO, "green")

    assert config["max_batch_size"] == 32
    assert config["dynamic_batching"] == {}
    assert [(t["data_type"], t["dims"]) for t in config["input"][-2:]] == [("TYPE_STRING", [1]), ("TYPE_FP32", [3])]


def test_config_tells_a_row_that_the_model_answers() -> None:
    told = model_config(ECHO, "green")["parameters"]["example"]["string_value"]

    assert json.loads(told) == [
        {"carat": 0.0, "table": 0.0, "count": 0, "sold": False, "cut": "Fair", "note": "", "size": [0.0, 0.0, 0.0]}
    ]


def text_endpoint(*example: tuple[object, ...]) -> EndpointState:
    inputs, outputs = (column("data", "BYTES"),), (column("result", "BYTES"),)
    signature = Signature(inputs=inputs, outputs=outputs, example=example)
    blue = Deployment(endpoint="text", name="blue", signature=signature, platform="r", max_rows=1)
    return EndpointState(
        name="text", deployments={"blue": DeploymentState(name="blue", deployment=blue, is_ready=True, weight=100)}
    )


def test_config_tells_the_request_that_a_script_brought_as_the_text_that_it_takes() -> None:
    told = model_config(text_endpoint(('{"x": 1}',)), "")["parameters"]["example"]["string_value"]

    assert json.loads(told) == [{"data": '{"x": 1}'}]


def test_config_makes_no_request_up_for_a_script_that_takes_a_text() -> None:
    assert model_config(text_endpoint(), "")["parameters"] == {}


def test_config_tells_no_row_of_an_image() -> None:
    signature = Signature(inputs=(column("image", "FP32", 3, 640, 640),), outputs=(column("result", "BYTES"),))
    blue = Deployment(endpoint="cat", name="blue", signature=signature)
    cat = EndpointState(
        name="cat", deployments={"blue": DeploymentState(name="blue", deployment=blue, is_ready=True, weight=100)}
    )

    assert model_config(cat, "")["parameters"] == {}


def test_a_model_that_was_never_loaded_has_no_metadata() -> None:
    with pytest.raises(NotReady, match="still loading"):
        model_metadata(LOADING, "")


def test_statistics_number_the_versions_when_none_is_named() -> None:
    entries = statistics([ECHO], "", STACK)["model_stats"]

    assert [entry["version"] for entry in entries] == ["1", "2"]


def test_statistics_answer_under_the_version_that_was_asked_for() -> None:
    entries = statistics([ECHO], "green", STACK)["model_stats"]

    assert [entry["version"] for entry in entries] == ["green"]


def test_statistics_carry_the_counters() -> None:
    [entry, _] = statistics([ECHO], "", STACK)["model_stats"]

    assert (entry["inference_count"], entry["execution_count"]) == (5, 2)
    assert entry["inference_stats"]["success"] == {"count": 3, "ns": 300}
    assert entry["inference_stats"]["fail"] == {"count": 1, "ns": 7}
    assert entry["inference_stats"]["queue"] == {"count": 3, "ns": 30}
    assert entry["inference_stats"]["compute_infer"] == {"count": 3, "ns": 60}
    assert [(b["batch_size"], b["compute_infer"]["ns"]) for b in entry["batch_stats"]] == [(1, 20), (4, 40)]


def test_the_index_says_why_a_version_cannot_serve() -> None:
    assert repository_index([LOADING], only_ready=False)[0] == {
        "name": "loading",
        "version": "blue",
        "state": "LOADING",
        "reason": "still loading",
    }


def test_the_index_can_leave_out_what_cannot_serve() -> None:
    assert repository_index([LOADING, ECHO], only_ready=True) == repository_index([ECHO], only_ready=False)


@pytest.mark.parametrize(("value", "microseconds"), [(0, 0), (1500, 1500), ("1500", 1500)])
def test_a_timeout_is_a_number_of_microseconds(value: object, microseconds: int) -> None:
    assert timeout_us(value) == microseconds


@pytest.mark.parametrize("value", [-1, 1.5, True, "soon", None, 10**15])
def test_another_timeout_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="timeout"):
        timeout_us(value)
