"""The same request gets the same answer, or the same error in the same words, over gRPC raw, gRPC typed and HTTP."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.edge.http_message import HttpRequest
from gateway.edge.oip_tensors import frame
from gateway.edge.status import STATUS
from gateway.wire.v1 import grpc_service_pb2 as pb
from tests.support.oip_edge import OipEdge, exchange_of, serving
from tests.support.oip_stack import ECHO, KEY

pytestmark = pytest.mark.usefixtures("http_engine", "grpc_engine")

FIELD = {
    "FP32": ("fp32_contents", "f"),
    "FP64": ("fp64_contents", "d"),
    "INT64": ("int64_contents", "q"),
    "INT8": ("int_contents", "b"),
    "BOOL": ("bool_contents", "?"),
    "BYTES": ("bytes_contents", ""),
}
ROW: dict[str, tuple[str, list[int], list[Any]]] = {
    "carat": ("FP64", [2, 1], [0.1, 2.0]),
    "table": ("FP32", [2, 1], [0.5, 57.0]),
    "count": ("INT64", [2, 1], [2**53 + 1, 7]),
    "sold": ("BOOL", [2, 1], [True, False]),
    "cut": ("BYTES", [2, 1], ["Ideal", "Fair"]),
    "note": ("BYTES", [2, 1], ["größer", ""]),
    "size": ("FP32", [2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]),
}

Tensors = dict[str, tuple[str, list[int], list[Any]]]
Outcome = tuple[str, Any]


def changed(**tensors: tuple[str, list[int], list[Any]] | None) -> Tensors:
    return {name: given for name, given in {**ROW, **tensors}.items() if given is not None}


def raw_of(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(frame(value.encode()) for value in values)
    return struct.pack(f"<{len(values)}{FIELD[datatype][1]}", *values)


async def over_grpc(edge: OipEdge, tensors: Tensors, *, raw: bool) -> Outcome:
    request = pb.ModelInferRequest(model_name="echo")
    for name, (datatype, shape, values) in tensors.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw:
            request.raw_input_contents.append(raw_of(datatype, values))
        else:
            sent = [value.encode() for value in values] if datatype == "BYTES" else values
            getattr(tensor.contents, FIELD[datatype][0]).extend(sent)
    try:
        answer = await edge.stub.ModelInfer(request, metadata=(("authorization", KEY),), timeout=10)
    except grpc.aio.AioRpcError as error:
        [row] = {status.word for status in STATUS.values() if status.grpc is error.code() and status.http == 400}
        return row, error.details()
    assert bool(answer.raw_output_contents) is raw
    outputs = {}
    for index, output in enumerate(answer.outputs):
        if raw:
            expected = raw_of(output.datatype, tensors[output.name][2])
            outputs[output.name] = (list(output.shape), answer.raw_output_contents[index] == expected)
        else:
            [(_, values)] = output.contents.ListFields()
            plain = [v.decode() if isinstance(v, bytes) else v for v in values]
            outputs[output.name] = (list(output.shape), plain == tensors[output.name][2])
    return "ok", outputs


async def over_http(edge: OipEdge, tensors: Tensors, *, binary: bool) -> Outcome:
    inputs: list[dict[str, Any]] = []
    tail = b""
    for name, (datatype, shape, values) in tensors.items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if binary:
            raw = raw_of(datatype, values)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            tensor["data"] = values
        inputs.append(tensor)
    header = json.dumps({"inputs": inputs}).encode()
    headers = {"authorization": KEY}
    if binary:
        headers["inference-header-content-length"] = str(len(header))
    request = HttpRequest("POST", "/v2/models/echo/infer", "", headers, header + tail)
    response = await exchange_of(edge.stack)(request)
    document = json.loads(response.body)
    if response.status != 200:
        [row] = {status.word for kind, status in STATUS.items() if status.http == response.status}
        return row, document["error"]
    return "ok", {o["name"]: (o["shape"], o["data"] == tensors[o["name"]][2]) for o in document["outputs"]}


async def outcomes(folder: Path, tensors: Tensors) -> list[Outcome]:
    async with serving(folder) as edge:
        return [
            await over_grpc(edge, tensors, raw=True),
            await over_grpc(edge, tensors, raw=False),
            await over_http(edge, tensors, binary=True),
            await over_http(edge, tensors, binary=False),
        ]


@pytest.mark.parametrize("order", [1, -1])
async def test_an_answer_is_the_same_on_every_wire(order: int, tmp_path: Path) -> None:
    tensors = dict(list(ROW.items())[::order])
    found = await outcomes(tmp_path, tensors)

    assert found == [("ok", {column.name: (ROW[column.name][1], True) for column in ECHO})] * 4


@pytest.mark.parametrize(
    "tensors",
    [
        changed(carat=None),
        changed(cut=("BYTES", [2, 1], ["Ideal", "Superb"])),
        changed(table=("BYTES", [2, 1], ["a", "b"])),
        changed(table=("FP32", [2, 1], [0.5, float("nan")])),
        changed(sold=("INT8", [2, 1], [1, 0])),
        changed(note=("BYTES", [3, 1], ["a", "b", "c"])),
        changed(size=("FP32", [2, 2], [1.0, 2.0, 3.0, 4.0])),
        changed(size=("FP32", [2, -3], [1.0])),
        changed(count=("INT64", [], [1])),
        {},
    ],
    ids=["missing", "level", "type", "nan", "bool", "ragged", "width", "negative", "scalar", "empty"],
)
async def test_an_error_is_the_same_on_every_wire(tensors: Tensors, tmp_path: Path) -> None:
    found = await outcomes(tmp_path, tensors)
    if tensors.get("table", ("", [], []))[2][1:] and tensors["table"][2][1] != tensors["table"][2][1]:
        found.pop()  # JSON has no NaN

    assert found[0][0] == "BadRequest"
    assert found == [found[0]] * len(found)
