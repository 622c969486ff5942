"""
Requests that are nearly right, for every decoder that outsiders reach: /score, /invocations, OIP as JSON, binary, gRPC.

Each is made from parts that mean something, put together wrongly and then bent byte by byte. It goes through the real
routes, codecs and assembly, without a socket. What must hold: an answer or a refusal, never a crash, and of a refusal
never more than a page. ``python -m tests.support.decoder_fuzz SECONDS`` goes on for as long as it is told.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.request import Answer
from gateway.edge.config import EdgeConfig
from gateway.edge.grpc_request import RequestReader
from gateway.edge.grpc_response import ResponseWriter
from gateway.edge.grpc_tensors import build_response
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.features.assemble import Assembler
from gateway.wire.v1 import grpc_service_pb2 as pb
from tests.support import edge_app, oip_edge
from tests.support.edge_service import deployment
from tests.support.hostile import AssemblingCore
from tests.support.oip_stack import ECHO, KEY, OipStack

__all__ = ["FUZZERS", "grpc_message", "oip_request", "score_request"]

T = TypeVar("T")
Bytes = st.SearchStrategy[bytes]

CONFIG = EdgeConfig(max_body_bytes=100_000)
_PAGE = 13_000
"""Bytes: 2000 characters of an error, each of which JSON may write as six."""
_EXCHANGE = edge_app.exchange_of(AssemblingCore(), CONFIG)
_OIP = oip_edge.exchange_of(OipStack(), CONFIG)
_READ, _WRITE = RequestReader(), ResponseWriter()
"""They remember from one message to the next, as they do for callers."""
_ECHO = deployment(inputs=ECHO, outputs=ECHO, endpoint="echo")
_ASSEMBLE = Assembler(_ECHO.signature, 1000)

# --- parts ---------------------------------------------------------------------------------------------------------

_NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.floats(allow_nan=True),
    st.sampled_from([2**31, -(2**31), 2**63, 2**64, 10**30, -0.0, 1e308, 5e-324, 3.4028236e38]),
)
_TEXTS = st.one_of(st.sampled_from(["Fair", "Good", "Ideal", "", "\0", "NA", "NaN", "é", "\U0001f600"]), st.text())
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
_NAMES = st.one_of(st.sampled_from(["carat", "cut", "Cut", "carat "]), st.text(max_size=6))
_RECORDS = st.dictionaries(_NAMES, _SCALARS | _VALUES, max_size=4)
_ROWS = st.lists(st.lists(_SCALARS, max_size=4) | _RECORDS | _SCALARS, max_size=5)
_SPLITS = st.fixed_dictionaries(
    {"data": _ROWS | _VALUES}, optional={"columns": st.lists(_NAMES, max_size=4) | _VALUES, "index": _VALUES}
)
_FRAMES = st.one_of(_ROWS, _SPLITS, _RECORDS, st.dictionaries(_NAMES, st.lists(_SCALARS, max_size=4), max_size=3))
_KEYS = ["input_data", "data", "params", "dataframe_split", "dataframe_records", "instances", "inputs"]
_ROW = {"carat": 1, "cut": "Fair"}
_RIGHT_ONES: list[Any] = [
    *([_ROW], [[1.5, "Good"]], _ROW, {"carat": [1, 2], "cut": ["Fair", "Ideal"]}),
    *({"input_data": {"columns": ["cut", "carat"], "data": [["Fair", 1]]}}, {"data": [_ROW, _ROW]}),
    *({"dataframe_records": [_ROW]}, {"instances": [_ROW]}, {"inputs": {"carat": [1], "cut": ["Fair"]}}),
]
_DOCUMENTS = st.one_of(
    st.sampled_from(_RIGHT_ONES),
    _FRAMES,
    st.dictionaries(st.sampled_from(_KEYS), _FRAMES | _VALUES, max_size=2),
)


def _bent(whole: Bytes) -> Bytes:
    """Mostly as it is; else cut, repeated, or with a few bytes replaced."""

    def bend(data: bytes, way: int, at: int, patch: bytes) -> bytes:
        at %= len(data) + 1
        return {6: data[:at], 7: data[at:] + data, 8: data[:at] + patch + data[at + len(patch) :]}.get(way, data)

    return st.builds(bend, whole, st.integers(0, 8), st.integers(0, 2**16), st.binary(max_size=3))


def _seldom(right: st.SearchStrategy[T], wrong: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Several parts make a request, and one that is wrong is enough."""
    return st.integers(0, 8).flatmap(lambda choice: right if choice else wrong)


def _dumped(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


# --- requests ------------------------------------------------------------------------------------------------------


def _packed(body: bytes, way: str) -> bytes:
    return gzip.compress(body) if way == "gzip" else zlib.compress(body) if way == "deflate" else body


score_request = st.builds(
    lambda body, encoding, kind, path: HttpRequest(
        "POST", path, "", {"content-type": kind, "content-encoding": encoding}, _packed(body, encoding)
    ),
    _bent(_DOCUMENTS.map(_dumped)) | st.binary(max_size=60),
    st.sampled_from([""] * 6 + ["gzip", "deflate", "br"]),
    st.sampled_from(["application/json"] * 6 + ["text/csv", "application/json; charset=utf-16", "x"]),
    st.sampled_from(["/score", "/score", "/invocations", "/predict"]),
)

_DATATYPES = st.sampled_from([column.datatype.name for column in ECHO] * 2 + ["FP16", "BF16", "UINT8", "", "fp32"])
_SHAPES = st.lists(st.sampled_from([0, 1, 1, 1, 2, 3, -1, 2**31, 2**63 - 1]), max_size=4)
_PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "shared_memory_region", "classification", "binary_data", "timeout"]),
    st.integers(-2, 30) | _SCALARS,
    max_size=2,
)


def _tensor(name: str, like: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    right = st.just({"name": name, **like})
    wrong = st.fixed_dictionaries(
        {"name": st.just(name) | _TEXTS, "datatype": _DATATYPES, "shape": _SHAPES},
        optional={"data": _VALUES, "parameters": _PARAMETERS},
    )
    return _seldom(right, wrong)


_RIGHT = {
    "carat": {"datatype": "FP64", "shape": [1], "data": [0.5]},
    "table": {"datatype": "FP32", "shape": [1], "data": [55.0]},
    "count": {"datatype": "INT64", "shape": [1], "data": [3]},
    "sold": {"datatype": "BOOL", "shape": [1], "data": [True]},
    "cut": {"datatype": "BYTES", "shape": [1], "data": ["Ideal"]},
    "note": {"datatype": "BYTES", "shape": [1], "data": ["x"]},
    "size": {"datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]},
}
_INFER = st.fixed_dictionaries(
    {"inputs": st.tuples(*(_tensor(name, like) for name, like in _RIGHT.items())).map(list)},
    optional={
        "id": _TEXTS,
        "parameters": _PARAMETERS,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from([*_RIGHT, "x"])}), max_size=2),
    },
)

oip_request = st.builds(
    lambda body, raw, off, says: HttpRequest(
        "POST",
        "/v2/models/echo/infer",
        "",
        {"authorization": KEY} | ({"inference-header-content-length": str(len(body) + off)} if says else {}),
        body + (raw if says else b""),
    ),
    _bent(_INFER.map(_dumped)),
    st.binary(max_size=40),
    st.sampled_from([0, 0, 0, 1, -1, -(10**6)]),
    st.sampled_from([False, False, True]),
)


def _message(tensors: list[dict[str, Any]], raws: list[bytes], is_raw: bool) -> bytes:
    request = pb.ModelInferRequest(model_name="echo")
    for each in tensors:
        shape = [dimension for dimension in each["shape"] if -(2**63) <= dimension < 2**63]
        tensor = request.inputs.add(name=each["name"], datatype=each["datatype"], shape=shape)
        if not is_raw and (field := _FIELDS.get(each["datatype"])) and isinstance(each.get("data"), list):
            for value in each["data"]:
                try:
                    getattr(tensor.contents, field).append(value.encode() if isinstance(value, str) else value)
                except (TypeError, ValueError, OverflowError):
                    continue
    if is_raw:
        request.raw_input_contents.extend(raws)
    return request.SerializeToString()


_FIELDS = {
    "FP64": "fp64_contents",
    "FP32": "fp32_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}
_RAW_RIGHT = [
    *(struct.pack("<d", 0.5), struct.pack("<f", 55.0), struct.pack("<q", 3), b"\1"),
    *(b"\5\0\0\0Ideal", b"\1\0\0\0x", struct.pack("<3f", 1, 2, 3)),
]

grpc_message = _bent(
    st.builds(
        _message,
        st.tuples(*(_tensor(name, like) for name, like in _RIGHT.items())).map(
            lambda tensors: [each for each in tensors if each["name"].isprintable()]
        ),
        st.tuples(*(_seldom(st.just(raw), st.binary(max_size=20)) for raw in _RAW_RIGHT)).map(list),
        st.booleans(),
    )
)

# --- what must hold ------------------------------------------------------------------------------------------------


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Nothing here waits for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    raise AssertionError("it waits")


def _check(response: HttpResponse) -> None:
    assert response.status in (200, 400, 404, 413, 415, 501), response
    if response.status != 200:
        json.loads(response.body)
        assert len(response.body) < _PAGE
    for name, value in response.headers:
        assert (name + value).isprintable(), (name, value)


def check_score(request: HttpRequest) -> None:
    _check(_run(_EXCHANGE(request)))


def check_oip(request: HttpRequest) -> None:
    _check(_run(_OIP(request)))


def check_grpc(message: bytes) -> None:
    try:
        request = _READ(message)
    except DecodeError:
        return
    try:
        rows = _ASSEMBLE(request.tensors())
    except GatewayError:
        return
    assert 1 <= rows.count <= 1000
    assert len(rows.records) == rows.count * rows.layout.width
    answer = Answer(_ECHO, rows)
    try:
        reply = _WRITE(request, answer)
    except GatewayError:
        return
    assert reply == build_response(pb.ModelInferRequest.FromString(message), answer).SerializeToString()
    _READ.learn(request)


FUZZERS: tuple[tuple[st.SearchStrategy[Any], Callable[[Any], None]], ...] = (
    (score_request, check_score),
    (oip_request, check_oip),
    (grpc_message, check_grpc),
)


def main(seconds: float) -> int:
    """Hypothesis shrinks and prints what breaks a rule."""
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for requests, check in FUZZERS:
            settings(max_examples=500, deadline=None, database=None)(given(requests)(check))()
            rounds += 500
    sys.stdout.write(f"{rounds} requests\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
