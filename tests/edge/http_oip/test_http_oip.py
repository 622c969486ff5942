"""The routes, called as any engine would call them: a request value in, a response value out."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from typing import Any

import pytest

from gateway.core.access import Caller
from gateway.core.errors import GatewayError
from gateway.core.request import Received
from gateway.edge.config import EdgeConfig
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.oip_tensors import frame
from tests.support.oip_edge import exchange_of
from tests.support.oip_stack import KEY, OipStack

JSON_MATRIX = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
RAW = struct.pack("<4f", 1, 2, 3, 4)


async def call(
    stack: OipStack,
    method: str,
    path: str,
    body: bytes | dict[str, Any] = b"",
    config: EdgeConfig | None = None,
    **headers: str,
) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("authorization", KEY)
    named = {name: value for name, value in named.items() if value}
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    return await exchange_of(stack, config)(HttpRequest(method, path, "", named, content))


async def get(path: str, **headers: str) -> tuple[int, Any]:
    response = await call(OipStack(), "GET", path, b"", None, **headers)
    return response.status, json.loads(response.body)


async def infer(body: bytes | dict[str, Any], model: str = "matrix", **headers: str) -> HttpResponse:
    return await call(OipStack(), "POST", f"/v2/models/{model}/infer", body, None, **headers)


def split(response: HttpResponse) -> tuple[Any, bytes]:
    length = int(dict(response.headers)["Inference-Header-Content-Length"])
    return json.loads(response.body[:length]), response.body[length:]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"live": True, "ready": True}),
        ("/v2/models/matrix/ready", {"name": "matrix", "ready": True}),
        ("/v2/models/matrix/versions/green/ready", {"name": "matrix", "ready": True}),
        ("/api/v1/endpoint/matrix/v2/models", {"models": ["matrix"]}),
        ("/api/v1/endpoint/matrix/v2/models/matrix/ready", {"name": "matrix", "ready": True}),
    ],
)
async def test_a_question_has_this_answer(path: str, document: object) -> None:
    assert await get(path) == (200, document)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_the_server_lists_only_the_extensions_that_work(path: str) -> None:
    status, document = await get(path, authorization="")

    assert status == 200
    assert document["extensions"] == ["binary_tensor_data", "model_configuration", "statistics"]


async def test_a_server_that_is_not_ready_says_so() -> None:
    stack = OipStack(is_ready=False)
    response = await call(stack, "GET", "/v2/health/ready")

    assert (response.status, json.loads(response.body)) == (503, {"live": True, "ready": False})


async def test_a_model_that_is_not_ready_says_why() -> None:
    assert await get("/v2/models/loading/ready") == (
        503,
        {"name": "loading", "ready": False, "error": "still loading"},
    )


@pytest.mark.parametrize("path", ["/v2/models", "/v2/models/matrix", "/v2/models/matrix/config", "/v2/models/stats"])
async def test_metadata_of_a_closed_endpoint_needs_a_key(path: str) -> None:
    status, _ = await get(path, authorization="Bearer wrong")

    assert status == 401


async def test_metadata_of_an_open_endpoint_needs_none() -> None:
    status, document = await get("/v2/models/open", authorization="")

    assert (status, document["name"]) == (200, "open")


async def test_a_stranger_sees_only_what_is_open() -> None:
    assert await get("/v2/models", authorization="") == (200, {"models": ["open"]})


async def test_a_stranger_cannot_learn_which_endpoints_exist() -> None:
    absent, _ = await get("/v2/models/nowhere", authorization="")
    closed, _ = await get("/v2/models/matrix", authorization="")

    assert absent == closed == 401


async def test_a_caller_sees_what_it_may_score() -> None:
    _, document = await get("/v2/models")

    assert "matrix" in document["models"]
    assert "secret" not in document["models"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": null}', b'{"ready": true}'])
async def test_the_index_needs_no_body(body: bytes) -> None:
    response = await call(OipStack(), "POST", "/v2/repository/index", body)
    states = {entry["state"] for entry in json.loads(response.body)}

    assert response.status == 200
    assert states == ({"READY"} if b"true" in body else {"READY", "LOADING", "UNAVAILABLE"})


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"[]", "the body: expected a JSON object"),
        (b"null", "the body: expected a JSON object"),
        (b'{"ready": "yes"}', "ready: expected true or false"),
        (b'{"ready": 1}', "ready: expected true or false"),
    ],
)
async def test_an_index_that_is_asked_for_wrongly_says_what_was_expected_where(body: bytes, told: str) -> None:
    response = await call(OipStack(), "POST", "/v2/repository/index", body)

    assert (response.status, json.loads(response.body)) == (400, {"error": told})


class Loading:
    """Implements ``Repository`` for callers who may load anything."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    async def check(self, model: str, caller: Caller) -> None: ...

    async def load(self, model: str, caller: Caller) -> None:
        self.loaded.append(model)

    async def unload(self, model: str, caller: Caller) -> None: ...


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"[]", "the body: expected a JSON object"),
        (b'{"parameters": ["config"]}', "parameters: expected a JSON object"),
        (b'{"parameters": "config"}', "parameters: expected a JSON object"),
    ],
)
async def test_a_load_that_is_asked_for_wrongly_is_not_done(body: bytes, told: str) -> None:
    repository = Loading()
    response = await call(OipStack(repository=repository), "POST", "/v2/repository/models/matrix/load", body)

    assert (response.status, json.loads(response.body)) == (400, {"error": told})
    assert repository.loaded == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"parameters": null}', b'{"parameters": {"priority": 1}}'])
async def test_a_load_without_files_is_done(body: bytes) -> None:
    repository = Loading()
    response = await call(OipStack(repository=repository), "POST", "/v2/repository/models/matrix/load", body)

    assert response.status == 200
    assert repository.loaded == ["matrix"]


async def test_errors_are_a_string_under_error() -> None:
    response = await infer({"inputs": []})

    assert (response.status, json.loads(response.body)) == (400, {"error": "expected at least one input tensor"})


@pytest.mark.parametrize("path", ["/v2/nothing", "/v2/models/a/b/c"])
async def test_an_unknown_path_is_an_error_of_this_family(path: str) -> None:
    status, document = await get(path)

    assert status == 404
    assert isinstance(document["error"], str)


@pytest.mark.parametrize(
    "path", ["/v2/repository/models/m/load", "/v2/repository/models/m/unload", "/v2/systemsharedmemory/unregister"]
)
async def test_what_is_not_offered_is_said_to_be_so(path: str) -> None:
    response = await call(OipStack(), "POST", path)

    assert response.status == 501
    assert json.loads(response.body)["error"].startswith("not offered here: ")


async def test_json_is_answered_in_json() -> None:
    response = await infer({**JSON_MATRIX, "id": "7"})

    assert response.status == 200
    assert json.loads(response.body) == {
        "model_name": "matrix",
        "model_version": "blue",
        "id": "7",
        "outputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}],
    }
    assert dict(response.headers)["azureml-model-deployment"] == "blue"


async def test_a_missing_value_is_null() -> None:
    inputs = [
        {"name": "carat", "shape": [1], "datatype": "FP64", "data": [None]},
        {"name": "table", "shape": [1], "datatype": "FP32", "data": [1]},
        {"name": "count", "shape": [1], "datatype": "INT64", "data": [2]},
        {"name": "sold", "shape": [1], "datatype": "BOOL", "data": [True]},
        {"name": "cut", "shape": [1], "datatype": "BYTES", "data": ["Good"]},
        {"name": "note", "shape": [1], "datatype": "BYTES", "data": ["n"]},
        {"name": "size", "shape": [1, 3], "datatype": "FP32", "data": [[1, 2, 3]]},
    ]
    response = await infer({"inputs": inputs}, model="echo")

    assert [output["data"] for output in json.loads(response.body)["outputs"]] == [
        [None], [1.0], [2], [True], ["Good"], ["n"], [1.0, 2.0, 3.0],
    ]  # fmt: skip


async def test_one_output_may_override_the_binary_default() -> None:
    body = {
        **JSON_MATRIX,
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "x", "parameters": {"binary_data": False}}],
    }
    response = await infer(body)

    assert json.loads(response.body)["outputs"][0]["data"] == [1.0, 2.0, 3.0, 4.0]


async def test_binary_output_follows_the_json() -> None:
    response = await infer({**JSON_MATRIX, "parameters": {"binary_data_output": True}})
    document, binary = split(response)

    assert response.content_type == "application/octet-stream"
    assert document["outputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
    ]
    assert binary == RAW


async def test_a_raw_binary_request_is_one_row() -> None:
    response = await infer(RAW, inference_header_content_length="0")
    document, binary = split(response)

    assert document["outputs"][0]["shape"] == [1, 4]
    assert binary == RAW


async def test_a_raw_binary_string_is_the_whole_body() -> None:
    response = await infer("größer".encode(), model="words", inference_header_content_length="0")

    assert split(response)[1] == frame("größer".encode())


async def test_half_precision_goes_through_in_binary() -> None:
    response = await infer(struct.pack("<e", 1.5), model="half", inference_header_content_length="0")

    assert split(response)[1] == struct.pack("<e", 1.5)


@pytest.mark.parametrize("body", [RAW[:-1], RAW + b"x", b""])
async def test_a_raw_binary_request_of_another_size_is_refused(body: bytes) -> None:
    response = await infer(body, inference_header_content_length="0")

    assert response.status == 400


async def test_a_raw_binary_request_fits_one_input_only() -> None:
    response = await infer(RAW, model="echo", inference_header_content_length="0")

    assert (response.status, "one input" in response.body.decode()) == (400, True)


def with_binary(size: object, tail: bytes, **extra: object) -> tuple[bytes, str]:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": size}, **extra}
    header = json.dumps({"inputs": [tensor]}).encode()
    return header + tail, str(len(header))


@pytest.mark.parametrize(
    ("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_the_header_length_counts_bytes_before_compression(encoding: str, encode: Any) -> None:
    body, length = with_binary(16, RAW)
    response = await infer(encode(body), inference_header_content_length=length, content_encoding=encoding)

    assert json.loads(response.body)["outputs"][0]["data"] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("size", "tail", "extra", "said"),
    [
        (16, RAW[:-1], {}, "expected 16 bytes behind the JSON, got 15"),
        (16, RAW + b"x", {}, "expected 16 bytes behind the JSON, got 17"),
        (-1, RAW, {}, "expected binary_data_size to be a number of bytes"),
        (True, RAW, {}, "expected binary_data_size to be a number of bytes"),
        (16, RAW, {"data": [1, 2, 3, 4]}, "expected either data or binary_data_size, got both"),
        (None, RAW, {}, "expected data"),
    ],
)
async def test_binary_data_that_does_not_add_up_is_refused(
    size: object, tail: bytes, extra: dict[str, object], said: str
) -> None:
    body, length = with_binary(size, tail, **extra)
    response = await infer(body, inference_header_content_length=length)

    assert (response.status, said in response.body.decode()) == (400, True)


@pytest.mark.parametrize("length", ["9999", "-1", "ten", "1e3"])
async def test_a_wrong_header_length_is_refused(length: str) -> None:
    response = await infer(JSON_MATRIX, inference_header_content_length=length)

    assert response.status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"{", b"[]", b'"x"', b'{"inputs": 1}', b'{"inputs": [{"name": "x"}]}', b"\xff\xfe",
     b'{"inputs": ' + b"[" * 100_000, b'{"inputs": [{"name": "x", "shape": [1e99], "datatype": "FP32", "data": []}]}'],
)  # fmt: skip
async def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    response = await infer(body)

    assert response.status == 400
    assert isinstance(json.loads(response.body)["error"], str)


@pytest.mark.parametrize("word", ["classification", "shared_memory_region"])
async def test_a_form_of_output_that_is_not_offered_is_refused(word: str) -> None:
    response = await infer({**JSON_MATRIX, "outputs": [{"name": "x", "parameters": {word: 3}}]})

    assert response.status == 501


async def test_shared_memory_inputs_are_refused() -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"shared_memory_region": "r"}}
    response = await infer({"inputs": [tensor]})

    assert response.status == 501


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_the_timeout_parameter_sets_the_deadline(encoding: str) -> None:
    stack = OipStack()
    body = json.dumps({**JSON_MATRIX, "parameters": {"timeout": 5_000_000}}).encode()
    content = gzip.compress(body) if encoding else body
    response = await call(stack, "POST", "/v2/models/matrix/infer", content, content_encoding=encoding)

    assert response.status == 200
    assert stack.seen[0].deadline is not None


async def test_no_body_is_decoded_for_a_stranger() -> None:
    body = json.dumps({**JSON_MATRIX, "parameters": {"timeout": "soon"}}).encode()
    plain = await infer(body, authorization="Bearer wrong")
    bomb = await infer(gzip.compress(bytes(10_000_000)), authorization="Bearer wrong", content_encoding="gzip")

    assert (plain.status, bomb.status) == (401, 401)


async def test_a_body_is_bounded_after_decompression() -> None:
    config = EdgeConfig(max_body_bytes=10_000)
    content = gzip.compress(b" " * 20_000)
    response = await call(
        OipStack(), "POST", "/v2/models/matrix/infer", content, config=config, content_encoding="gzip"
    )

    assert response.status == 413


@pytest.mark.parametrize(("accepted", "decode"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
@pytest.mark.parametrize("rows", [300, 30_000])
async def test_a_long_answer_is_compressed_for_who_asks(accepted: str, decode: Any, rows: int) -> None:
    async def many(received: Received, deployment: Any, rows_: Any) -> Any:
        return type(rows_)(rows_.layout, rows, rows_.records * rows, ())

    stack = OipStack(behaviours={"matrix": many})
    response = await call(stack, "POST", "/v2/models/matrix/infer", JSON_MATRIX, accept_encoding=accepted)

    assert dict(response.headers)["Content-Encoding"] == accepted
    assert json.loads(decode(response.body))["outputs"][0]["shape"] == [rows, 4]


async def test_a_short_answer_is_left_alone() -> None:
    response = await infer(JSON_MATRIX, accept_encoding="gzip")

    assert "Content-Encoding" not in dict(response.headers)


async def test_a_base_of_one_endpoint_serves_no_other() -> None:
    response = await call(OipStack(), "POST", "/api/v1/endpoint/echo/v2/models/matrix/infer", JSON_MATRIX)

    assert response.status == 404


async def test_a_version_in_the_path_pins_the_deployment() -> None:
    response = await call(OipStack(), "POST", "/v2/models/matrix/versions/2/infer", JSON_MATRIX)

    assert json.loads(response.body)["model_version"] == "green"


async def test_who_keeps_the_record_is_told_once() -> None:
    stack = OipStack()
    await call(stack, "POST", "/v2/models/failing/infer", JSON_MATRIX)

    [(received, status, error)] = stack.done
    assert (received is stack.seen[0], status, isinstance(error, GatewayError)) == (True, 500, True)
