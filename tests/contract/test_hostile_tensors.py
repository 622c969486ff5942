"""Tensors that mean no good: the same refusals over JSON, the binary extension and gRPC, and none costs much."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from gateway.edge.config import EdgeConfig
from gateway.wire.v1 import grpc_service_pb2 as pb
from tests.support.hostile import no_crash
from tests.support.oip_edge import OipEdge, serving
from tests.support.oip_stack import KEY

LIMIT = 2_000_000
CONFIG = EdgeConfig(host="localhost", http_port=0, grpc_port=0, max_body_bytes=LIMIT)
HUGE = 2**31 - 1
FOUR = struct.pack("<4f", 0, 1, 2, 3)

SHAPES: dict[str, list[int]] = {
    "a negative dimension": [-1, 4],
    "all of them negative": [-1, -4],
    "the least there is": [-(2**63), 4],
    "more than there is room for": [HUGE, HUGE],
    "a product that would be 4 in 64 bits": [2**62, 4, 4],
    "a huge one beside a zero": [0, 2**62],
    "a zero beside a huge one": [2**62, 0],
    "no rows": [0, 4],
    "rows of nothing": [1, 0],
    "more dimensions than anybody has": [1] * 10_000 + [4],
    "rows without end": [1_000_000, 4],
    "another shape of the same size": [4, 1],
    "no shape": [],
}


def tensor(shape: list[int], **more: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP32", "shape": shape, **more}


class Http:
    """Requests of this protocol, byte by byte."""

    def __init__(self, edge: OipEdge) -> None:
        self._edge = edge

    async def ask(self, target: str, body: bytes, *headers: str) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self._edge.ca))
        reader, writer = await asyncio.open_connection("localhost", self._edge.http_server.port, ssl=context)
        lines = [f"POST {target} HTTP/1.1", "Host: localhost", f"Authorization: {KEY}", *headers]
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        head, _, rest = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), rest

    async def json(self, *inputs: dict[str, Any], **more: Any) -> tuple[int, bytes]:
        return await self.ask("/v2/models/matrix/infer", json.dumps({"inputs": list(inputs), **more}).encode())

    async def binary(self, *inputs: dict[str, Any], raw: bytes, length: str | None = None) -> tuple[int, bytes]:
        document = json.dumps({"inputs": list(inputs)}).encode()
        header = f"Inference-Header-Content-Length: {len(document) if length is None else length}"
        return await self.ask("/v2/models/matrix/infer", document + raw, header)

    async def is_well(self) -> bool:
        return (await self.json(tensor([1, 4], data=[0, 1, 2, 3])))[0] == 200


@pytest.mark.usefixtures("http_engine")
@pytest.mark.parametrize("name", SHAPES)
async def test_no_shape_over_http_is_more_than_a_400(tmp_path: Path, name: str) -> None:
    shape = SHAPES[name]
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            http = Http(edge)
            as_json = await http.json(tensor(shape, data=[0, 1, 2, 3]))
            as_bytes = await http.binary(tensor(shape, parameters={"binary_data_size": 16}), raw=FOUR)

            assert await http.is_well()

    assert (as_json[0], as_bytes[0]) == (400, 400)
    assert max(len(as_json[1]), len(as_bytes[1])) < 3000


SIZED = tensor([1, 4], parameters={"binary_data_size": 16})
WORDS = {"name": "text", "datatype": "BYTES", "shape": [1, 1]}
DOCUMENTS: dict[str, Callable[[Http], Any]] = {
    "a length of more than there is": lambda http: http.binary(SIZED, raw=FOUR, length="99999"),
    "a negative length": lambda http: http.binary(SIZED, raw=FOUR, length="-1"),
    "a length of many digits": lambda http: http.binary(SIZED, raw=FOUR, length="9" * 100),
    "a length in the middle of the JSON": lambda http: http.binary(SIZED, raw=FOUR, length="10"),
    "bytes that nobody asked for": lambda http: http.binary(SIZED, raw=FOUR * 2),
    "bytes that are missing": lambda http: http.binary(SIZED, raw=FOUR[:8]),
    "a size that is negative": lambda http: http.binary(tensor([1, 4], parameters={"binary_data_size": -16}), raw=FOUR),
    "a size that is huge": lambda http: http.binary(tensor([1, 4], parameters={"binary_data_size": 2**62}), raw=FOUR),
    "a size that is a fraction": lambda http: http.binary(
        tensor([1, 4], parameters={"binary_data_size": 16.5}), raw=FOUR
    ),
    "data and bytes": lambda http: http.binary(
        tensor([1, 4], data=[0, 1, 2, 3], parameters={"binary_data_size": 16}), raw=FOUR
    ),
    "one tensor twice": lambda http: http.json(*[tensor([1, 4], data=[0, 1, 2, 3])] * 2),
    "tensors without end": lambda http: http.json(*[tensor([1, 4], data=[0, 1, 2, 3])] * 5000),
    "no tensors": lambda http: http.json(),
    "an unknown datatype": lambda http: http.json(tensor([1, 4], data=[0, 1, 2, 3]) | {"datatype": "x" * 100_000}),
    "an unknown tensor": lambda http: http.json(tensor([1, 4], data=[0, 1, 2, 3]) | {"name": "y" * 100_000}),
    "lists of lists of lists": lambda http: http.json(tensor([1, 4], data=json.loads("[" * 200 + "]" * 200))),
    "rows of different lengths": lambda http: http.json(tensor([2, 2], data=[[0, 1, 2], [3]])),
    "a number that no double holds": lambda http: http.ask(
        "/v2/models/matrix/infer",
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1e400,1,2,3]}]}',
    ),
    "a number that no single holds": lambda http: http.json(tensor([1, 4], data=[1e300, 1, 2, 3])),
    "texts for numbers": lambda http: http.json(tensor([1, 4], data=["0", "1", "2", "3"])),
    "outputs that nobody has": lambda http: http.json(
        tensor([1, 4], data=[0, 1, 2, 3]), outputs=[{"name": "z" * 100_000}]
    ),
    "one output again and again": lambda http: http.json(
        tensor([1, 4], data=[0, 1, 2, 3]), outputs=[{"name": "x"}] * 5000
    ),
    "a string longer than its frame": lambda http: http.ask(
        "/v2/models/words/infer",
        (document := json.dumps({"inputs": [{**WORDS, "parameters": {"binary_data_size": 8}}]}).encode())
        + struct.pack("<I", 2**32 - 1)
        + b"text",
        f"Inference-Header-Content-Length: {len(document)}",
    ),
    "strings without end": lambda http: http.ask(
        "/v2/models/words/infer",
        (
            document := json.dumps(
                {"inputs": [{**WORDS, "shape": [400_000, 1], "parameters": {"binary_data_size": 1_600_000}}]}
            ).encode()
        )
        + bytes(1_600_000),
        f"Inference-Header-Content-Length: {len(document)}",
    ),
    "a timeout that is none": lambda http: http.json(tensor([1, 4], data=[0, 1, 2, 3]), parameters={"timeout": "soon"}),
    "a depth bomb behind a timeout": lambda http: http.ask(
        "/v2/models/matrix/infer", b'{"parameters":{"timeout":' + b"[" * 100_000
    ),
}


@pytest.mark.usefixtures("http_engine")
@pytest.mark.parametrize("name", DOCUMENTS)
async def test_no_document_over_http_is_more_than_a_400(tmp_path: Path, name: str) -> None:
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            http = Http(edge)
            status, body = await DOCUMENTS[name](http)

            assert await http.is_well()

    assert status == 400, body
    assert len(body) < 3000


MODELS = [
    "../matrix",
    "..%2fmatrix",
    "matrix%2f..%2fsecret",
    "%2e%2e",
    "matrix%00",
    "matrix%0d%0aevil:1",
    "m%C3%A0trix",
    "%EF%BD%8Datrix",
    "%ff",
    "matrix/versions/..",
    "matrix/versions/%2e%2e%2fsecret",
    "x" * 10_000,
]


@pytest.mark.usefixtures("http_engine")
@pytest.mark.parametrize("model", MODELS)
async def test_no_name_of_a_model_leads_to_another(tmp_path: Path, model: str) -> None:
    body = json.dumps({"inputs": [tensor([1, 4], data=[0, 1, 2, 3])]}).encode()
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            status, answer = await Http(edge).ask(f"/v2/models/{model}/infer", body)

    assert status in (400, 404)
    assert len(answer) < 3000
    assert "secret" not in {request.endpoint for request in edge.stack.seen}


# --- gRPC ----------------------------------------------------------------------------------------------------------


def request(model: str = "matrix", shape: list[int] | None = None, raw: bytes | None = FOUR) -> pb.ModelInferRequest:
    asked = pb.ModelInferRequest(model_name=model)
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 4] if shape is None else shape)
    if raw is not None:
        asked.raw_input_contents.append(raw)
    return asked


async def code_of(edge: OipEdge, asked: pb.ModelInferRequest, *metadata: tuple[str, str]) -> tuple[str, str]:
    try:
        await edge.stub.ModelInfer(asked, metadata=[("authorization", KEY), *metadata], timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


@pytest.mark.usefixtures("grpc_engine")
@pytest.mark.parametrize("name", SHAPES)
async def test_no_shape_over_grpc_is_more_than_an_invalid_argument(tmp_path: Path, name: str) -> None:
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            typed = request(shape=SHAPES[name], raw=None)
            typed.inputs[0].contents.fp32_contents.extend([0, 1, 2, 3])
            codes = [(await code_of(edge, asked)) for asked in (request(shape=SHAPES[name]), typed)]

            assert (await code_of(edge, request()))[0] == "OK"

    assert [code for code, _ in codes] == ["INVALID_ARGUMENT"] * 2
    assert all(len(details) <= 2000 for _, details in codes)


def _messages() -> dict[str, pb.ModelInferRequest]:
    found = {
        "an unknown datatype": request(),
        "an unknown tensor": request(),
        "one tensor twice": request(),
        "tensors without end": request(),
        "more bytes than tensors": request(),
        "bytes and contents": request(),
        "contents of another type": request(raw=None),
        "a string longer than its frame": request("words"),
        "strings without end": request("words"),
        "a timeout that is none": request(),
        "an unknown output": request(),
    }
    found["an unknown datatype"].inputs[0].datatype = "x" * 100_000
    found["an unknown tensor"].inputs[0].name = "y" * 100_000
    for name, times in (("one tensor twice", 1), ("tensors without end", 5000)):
        for _ in range(times):
            found[name].inputs.add(name="x", datatype="FP32", shape=[1, 4])
            found[name].raw_input_contents.append(FOUR)
    found["more bytes than tensors"].raw_input_contents.append(FOUR)
    found["bytes and contents"].inputs[0].contents.fp32_contents.extend([0, 1, 2, 3])
    found["contents of another type"].inputs[0].contents.int_contents.extend([0, 1, 2, 3])
    for name, shape, raw in (
        ("a string longer than its frame", [1, 1], struct.pack("<I", 2**32 - 1) + b"text"),
        ("strings without end", [400_000, 1], bytes(1_600_000)),
    ):
        found[name].inputs[0].name, found[name].inputs[0].datatype = "text", "BYTES"
        found[name].inputs[0].shape[:] = shape
        found[name].raw_input_contents[0] = raw
    found["a timeout that is none"].parameters["timeout"].string_param = "soon"
    found["an unknown output"].outputs.add(name="z" * 100_000)
    return found


@pytest.mark.usefixtures("grpc_engine")
@pytest.mark.parametrize("name", _messages())
async def test_no_message_over_grpc_is_more_than_an_invalid_argument(tmp_path: Path, name: str) -> None:
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            code, details = await code_of(edge, _messages()[name])

            assert (await code_of(edge, request()))[0] == "OK"

    assert code == "INVALID_ARGUMENT", details
    assert len(details) <= 2000


@pytest.mark.usefixtures("grpc_engine")
async def test_a_refusal_on_a_stream_is_cut_too_and_the_stream_goes_on(tmp_path: Path) -> None:
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            call = edge.stub.ModelStreamInfer(metadata=[("authorization", KEY)], timeout=10)
            replies = []
            for asked in (_messages()["an unknown tensor"], request()):
                await call.write(asked)
                replies.append(await call.read())
            await call.done_writing()

    assert 0 < len(replies[0].error_message) <= 2000
    assert replies[1].error_message == ""


@pytest.mark.usefixtures("grpc_engine")
async def test_a_message_over_the_limit_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, config=CONFIG) as edge:
        code, _ = await code_of(edge, request(raw=bytes(LIMIT * 2)))
        well, _ = await code_of(edge, request())

    assert (code, well) == ("RESOURCE_EXHAUSTED", "OK")  # gRPC's own word for it, on every engine


@pytest.mark.usefixtures("grpc_engine")
@pytest.mark.parametrize(
    "model", ["../matrix", "matrix/../secret", "matrix\0", "matrix\r\nevil: 1", "ｍatrix", "m" * 99]
)
async def test_no_name_of_a_model_leads_to_another_over_grpc(tmp_path: Path, model: str) -> None:
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            code, _ = await code_of(edge, request(model))

    assert code == "NOT_FOUND"


@pytest.mark.usefixtures("grpc_engine")
async def test_an_id_that_breaks_out_does_not_come_back(tmp_path: Path) -> None:
    with no_crash():
        async with serving(tmp_path, config=CONFIG) as edge:
            call = edge.stub.ModelInfer(
                request(), metadata=[("authorization", KEY), ("x-ms-client-request-id", "evil; x=1")], timeout=10
            )
            await call
            trailers = await call.trailing_metadata()

    assert "evil" not in repr(list(trailers))


@pytest.mark.usefixtures("grpc_engine")
async def test_metadata_without_end_is_refused(tmp_path: Path) -> None:
    metadata = [(f"x-{i}", "y" * 1000) for i in range(100)]
    async with serving(tmp_path, config=CONFIG) as edge:
        code, _ = await code_of(edge, request(), *metadata)
        well, _ = await code_of(edge, request())

    assert (code != "OK", well) == (True, "OK")
