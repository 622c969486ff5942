"""curl, nghttp and h2load against the real server: REST and gRPC on the one port that speaks everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.wire.v1 import grpc_service_pb2 as wire
from tests.support.http2_tools import Got, Target, framed, unframed
from tests.support.samples import expected, sample, signature
from tests.support.stack import Stack

SCORE = "/api/v1/endpoint/tumor/score"
INFER = "/inference.GRPCInferenceService/ModelInfer"
GREEN = {"azureml-model-deployment": "green"}
GRPC = {"content-type": "application/grpc", "te": "trailers"}
ROWS = 'lockgate_rows_total{deployment="green",endpoint="tumor",'
NGHTTP_WAYS = [
    ["--no-dep"],
    ["--padding=64"],
    ["--trailer=x-checksum: 7"],
    ["--expect-continue"],
    ["--no-content-length"],
    ["--header-table-size=0", "--encoder-header-table-size=0"],
    ["--window-bits=4"],
    ["--connection-window-bits=30"],
]


@pytest.fixture
def target(examples: Stack) -> Target:
    return Target(examples.url, examples.ca)


@pytest.fixture
def headers(examples: Stack) -> dict[str, str]:
    return {"authorization": f"Bearer {examples.key}", **GREEN}


@pytest.fixture
def rest(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "content-type": "application/json"}


@pytest.fixture
def score_body(tmp_path: Path) -> Path:
    """All 200 rows: more than one frame, both ways."""
    path = tmp_path / "score.json"
    frame = sample("tumor")
    path.write_text(json.dumps({"input_data": {"columns": frame.columns, "data": frame.rows}}))
    return path


@pytest.fixture
def oip_body(tmp_path: Path) -> Path:
    """The same rows in the Open Inference Protocol's JSON."""
    path = tmp_path / "oip.json"
    types = signature("tumor", "green")
    inputs = [
        {"name": name, "datatype": types[name], "shape": [len(values)], "data": values}
        for name, values in sample("tumor").by_name().items()
    ]
    path.write_text(json.dumps({"inputs": inputs}))
    return path


@pytest.fixture
def one_row(tmp_path: Path) -> Path:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"input_data": sample("tumor").head(1).records()}))
    return path


@pytest.fixture
def infer_body(tmp_path: Path) -> Path:
    """One row, as the body of a unary call."""
    request = wire.ModelInferRequest(model_name="tumor", model_version="green")
    types = signature("tumor", "green")
    for name, values in sample("tumor").head(1).by_name().items():
        tensor = request.inputs.add(name=name, datatype=types[name], shape=[1])
        field: Any = getattr(tensor.contents, {"FP32": "fp32_contents", "FP64": "fp64_contents"}[types[name]])
        field.extend(values)
    path = tmp_path / "infer.bin"
    path.write_bytes(framed(request.SerializeToString()))
    return path


def rows(stack: Stack) -> float:
    """How many were scored, by all gateways."""
    _, text = stack.ask_admin("/metrics")
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(ROWS))


def scored(got: Got) -> list[float]:
    return [row["probability"] for row in json.loads(got.body)]


def inferred(got: Got) -> list[float]:
    response = wire.ModelInferResponse.FromString(unframed(got.body))
    return [
        value for output in response.outputs if output.name == "probability" for value in output.contents.fp32_contents
    ]


def wanted(count: int) -> list[float]:
    values: list[float] = expected("tumor", "green")["probability"][:count]
    return values


@pytest.mark.parametrize(
    ("option", "version"), [("--http1.1", "1.1"), ("--http2", "2"), ("--http2-prior-knowledge", "2")]
)
async def test_curl_gets_the_same_answer_in_every_version(
    target: Target, rest: dict[str, str], score_body: Path, option: str, version: str
) -> None:
    got = await target.curl(SCORE, option, headers=rest, body=score_body)

    assert (got.status, got.version, got.headers["azureml-model-deployment"]) == (200, version, "green")
    assert scored(got) == wanted(200)


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_curl_reads_an_answer_that_is_compressed(
    target: Target, rest: dict[str, str], oip_body: Path, version: str
) -> None:
    path = "/v2/models/tumor/versions/green/infer"
    got = await target.curl(path, version, "--compressed", headers=rest, body=oip_body)
    (values,) = [output["data"] for output in json.loads(got.body)["outputs"] if output["name"] == "probability"]

    assert (got.status, got.headers["content-encoding"]) == (200, "gzip")
    assert values == wanted(200)


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_curl_without_a_key_is_refused(target: Target, score_body: Path, version: str) -> None:
    got = await target.curl(SCORE, version, body=score_body)

    assert got.status == 401


async def test_curl_makes_a_unary_grpc_call(target: Target, headers: dict[str, str], infer_body: Path) -> None:
    got = await target.curl(INFER, "--http2", headers={**headers, **GRPC}, body=infer_body)

    assert (got.status, got.headers["grpc-status"]) == (200, "0")
    assert inferred(got) == wanted(1)


@pytest.mark.parametrize("options", NGHTTP_WAYS, ids=lambda options: options[0].split("=")[0].strip("-"))
async def test_nghttp_scores_over_http_2_in_every_way_it_can_frame(
    target: Target, rest: dict[str, str], score_body: Path, options: list[str]
) -> None:
    (got,) = await target.nghttp(SCORE, *options, headers={**rest, "accept-encoding": "identity"}, body=score_body)

    assert got.status == 200
    assert scored(got) == wanted(200)


async def test_headers_that_nghttp_spreads_over_continuations_are_read_and_found_too_long(
    target: Target, rest: dict[str, str], score_body: Path
) -> None:
    (got,) = await target.nghttp(SCORE, "--continuation", headers=rest, body=score_body)

    assert got.status == 431


async def test_nghttp_has_a_hundred_requests_answered_on_one_connection(target: Target) -> None:
    answers = await target.nghttp("/v2/health/live", "--multiply=100")

    assert [(got.status, json.loads(got.body)) for got in answers] == [(200, {"live": True})] * 100


@pytest.mark.parametrize("port", ["http_port", "grpc_port"])
async def test_nghttp_makes_a_unary_grpc_call_on_either_port(
    examples: Stack, headers: dict[str, str], infer_body: Path, port: str
) -> None:
    target = Target(f"https://localhost:{getattr(examples, port)}", examples.ca)
    (got,) = await target.nghttp(INFER, headers={**headers, **GRPC}, body=infer_body)

    assert (got.status, got.headers["grpc-status"]) == (200, "0")
    assert inferred(got) == wanted(1)


async def test_h2load_has_every_rest_request_scored(
    examples: Stack, target: Target, rest: dict[str, str], one_row: Path
) -> None:
    before = rows(examples)
    load = await target.h2load(SCORE, "-c", "4", "-m", "16", requests=1_000, headers=rest, body=one_row)

    assert (load.succeeded, load.status_2xx, load.failed, load.protocol) == (1_000, 1_000, 0, "h2")
    assert rows(examples) - before == 1_000


@pytest.mark.parametrize("windows", [[], ["-w", "8", "-W", "16"]], ids=["usual", "narrow"])
@pytest.mark.parametrize("port", ["http_port", "grpc_port"])
async def test_h2load_has_every_grpc_call_scored(
    examples: Stack, headers: dict[str, str], infer_body: Path, port: str, windows: list[str]
) -> None:
    target = Target(f"https://localhost:{getattr(examples, port)}", examples.ca)
    before = rows(examples)
    load = await target.h2load(
        INFER, "-c", "4", "-m", "16", *windows, requests=1_000, headers={**headers, **GRPC}, body=infer_body
    )

    assert (load.succeeded, load.status_2xx, load.failed, load.protocol) == (1_000, 1_000, 0, "h2")
    assert rows(examples) - before == 1_000


async def test_h2load_over_http_1_1_has_every_request_scored(
    examples: Stack, target: Target, rest: dict[str, str], one_row: Path
) -> None:
    before = rows(examples)
    load = await target.h2load(SCORE, "--h1", "-c", "8", "-m", "4", requests=1_000, headers=rest, body=one_row)

    assert (load.succeeded, load.status_2xx, load.failed) == (1_000, 1_000, 0)
    assert rows(examples) - before == 1_000
