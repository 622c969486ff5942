"""tritonclient, NVIDIA's own, gets from both wires what it expects of a Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.oip_edge import serving

pytestmark = pytest.mark.usefixtures("http_engine", "grpc_engine")

WIRES = pytest.mark.parametrize("wire", ["http", "grpc"])

ROWS: list[dict[str, Any]] = [
    {"name": "carat", "datatype": "FP64", "shape": [2, 1], "data": [0.1, -2.5]},
    {"name": "table", "datatype": "FP32", "shape": [2, 1], "data": [0.5, 57.0]},
    {"name": "count", "datatype": "INT64", "shape": [2, 1], "data": [-(2**53) - 1, 7]},
    {"name": "sold", "datatype": "BOOL", "shape": [2, 1], "data": [True, False]},
    {"name": "cut", "datatype": "BYTES", "shape": [2, 1], "data": ["Ideal", "Fair"]},
    {"name": "note", "datatype": "BYTES", "shape": [2, 1], "data": ["größer", ""]},
    {"name": "size", "datatype": "FP32", "shape": [2, 3], "data": [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]},
]
SAME = {given["name"]: {key: given[key] for key in ("shape", "datatype", "data")} for given in ROWS}
MATRIX = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]


def echo(wire: str, **settings: Any) -> dict[str, Any]:
    return {"do": "infer", "wire": wire, "model": "echo", "inputs": ROWS, **settings}


@WIRES
async def test_every_datatype_comes_back_as_it_was_sent(wire: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        [answer] = await edge.triton(echo(wire, request_id="r-1"))

    assert answer == {"model": "echo", "version": "blue", "id": "r-1", "outputs": SAME}


async def test_json_binary_and_mixed_bodies_give_the_same_answer(tmp_path: Path) -> None:
    def inputs(*binary: str) -> list[dict[str, Any]]:
        return [{**given, "binary": given["name"] in binary} for given in ROWS]

    def outputs(*binary: str) -> list[dict[str, Any]]:
        return [{"name": given["name"], "binary_data": given["name"] in binary} for given in ROWS]

    every = tuple(SAME)
    async with serving(tmp_path) as edge:
        answers = await edge.triton(
            *[
                {**echo("http"), "inputs": inputs(*sent), "outputs": outputs(*asked)}
                for sent in ((), every, ("table", "note"))
                for asked in ((), every, ("cut", "size"))
            ]
        )

    assert [answer["outputs"] for answer in answers] == [SAME] * 9


async def test_compressed_requests_and_answers_are_understood(tmp_path: Path) -> None:
    many = [{"name": "x", "datatype": "FP32", "shape": [300, 4], "data": [1.5] * 1200}]
    call = {"do": "infer", "model": "matrix", "inputs": many}
    async with serving(tmp_path) as edge:
        answers = await edge.triton(
            *[{**call, "wire": "http", "compress": c, "decompress": c} for c in ("gzip", "deflate")],
        )

    assert [answer["outputs"]["x"]["data"] == [1.5] * 1200 for answer in answers] == [True] * 2


@WIRES
async def test_an_output_can_be_asked_for_alone(wire: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        [answer] = await edge.triton(echo(wire, outputs=[{"name": "cut"}]))

    assert answer["outputs"] == {"cut": SAME["cut"]}


@WIRES
async def test_a_version_is_a_deployment_by_name_or_number(wire: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        answers = await edge.triton(*[echo(wire, model_version=version) for version in ("green", "2", "1")])

    assert [answer["version"] for answer in answers] == ["green", "green", "blue"]


@WIRES
async def test_the_start_up_questions_are_answered(wire: str, tmp_path: Path) -> None:
    def ask(method: str, *args: Any) -> dict[str, Any]:
        return {"do": "control", "wire": wire, "method": method, "args": args}

    async with serving(tmp_path) as edge:
        answers = await edge.triton(
            ask("is_server_live"),
            ask("is_server_ready"),
            ask("is_model_ready", "matrix"),
            ask("is_model_ready", "loading"),
            ask("get_server_metadata"),
            ask("get_model_metadata", "matrix"),
            ask("get_model_repository_index"),
        )

    assert answers[:4] == [True, True, True, False]
    assert answers[4]["extensions"] == ["binary_tensor_data", "model_configuration", "statistics"]
    tensor = {"name": "x", "datatype": "FP32", "shape": ["-1", "4"] if wire == "grpc" else [-1, 4]}
    assert answers[5] == {
        "name": "matrix",
        "versions": ["blue", "green"],
        "platform": "onnx_onnxruntime",
        "inputs": [tensor],
        "outputs": [tensor],
    }
    index = answers[6]["models"] if wire == "grpc" else answers[6]
    assert {"name": "matrix", "version": "green", "state": "READY"}.items() <= index[3].items()


@WIRES
async def test_errors_arrive_as_text_with_their_status(wire: str, tmp_path: Path) -> None:
    matrix = {"do": "infer", "wire": wire, "inputs": MATRIX}
    async with serving(tmp_path) as edge:
        answers = await edge.triton(
            {**matrix, "model": "matrix", "key": False},
            {**matrix, "model": "secret"},
            {**matrix, "model": "nowhere"},
            {**matrix, "model": "matrix", "model_version": "purple"},
            {**matrix, "model": "echo"},
            {**matrix, "model": "busy"},
            {**matrix, "model": "failing"},
            {**matrix, "model": "crashing"},
            {**matrix, "model": "loading"},
            {"do": "control", "wire": wire, "method": "load_model", "args": ["matrix"]},
        )
    codes = {
        "http": ["401", "403", "404", "404", "400", "429", "500", "500", "503", "501"],
        "grpc": [
            f"StatusCode.{name}"
            for name in (
                "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "NOT_FOUND", "INVALID_ARGUMENT",
                "RESOURCE_EXHAUSTED", "INTERNAL", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED",
            )
        ],
    }  # fmt: skip

    assert [answer["status"] for answer in answers] == codes[wire]
    assert answers[5]["error"] == "full"
    assert answers[6]["error"] == "singular matrix"
    assert "secret" not in answers[7]["error"]


async def test_a_stream_answers_every_request_under_its_id(tmp_path: Path) -> None:
    ids = {f"r{i}" for i in range(50)}
    requests = [{"model": "matrix", "inputs": MATRIX, "request_id": name} for name in ids]
    async with serving(tmp_path) as edge:
        [answers] = await edge.triton({"do": "stream", "requests": requests})

    assert {answer["id"] for answer in answers} == ids


async def test_an_error_on_a_stream_leaves_the_others_alone(tmp_path: Path) -> None:
    requests = [
        {"model": "failing", "inputs": MATRIX, "request_id": "bad"},
        {"model": "matrix", "inputs": MATRIX, "request_id": "good"},
    ]
    async with serving(tmp_path) as edge:
        [answers] = await edge.triton({"do": "stream", "requests": requests})

    assert {"error": "singular matrix"} in answers
    assert [answer["id"] for answer in answers if "id" in answer] == ["good"]
