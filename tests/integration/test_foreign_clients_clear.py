"""curl, nghttp and h2load on a clear-text port, which tells HTTP/2 from HTTP/1.1 by its first bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.edge.config import EdgeConfig
from gateway.wire.v1 import grpc_service_pb2 as wire
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.support.http2_tools import Got, Target, framed, unframed
from tests.support.oip_edge import serving
from tests.support.oip_stack import KEY

CONFIG = EdgeConfig(host="127.0.0.1", http_port=0, grpc_port=0, grpc_engine="h2grpc")
INFER = "/v2/models/matrix/infer"
READY = "/inference.GRPCInferenceService/ServerReady"
JSON = {"authorization": KEY, "content-type": "application/json"}
GRPC = {"content-type": "application/grpc", "te": "trailers"}
ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}


@dataclass(frozen=True, slots=True)
class Clear:
    target: Target
    row: Path
    call: Path


@pytest.fixture
async def clear(tmp_path: Path) -> AsyncIterator[Clear]:
    row, call = tmp_path / "row.json", tmp_path / "call.bin"
    row.write_text(json.dumps(ROW))
    call.write_bytes(framed(wire.ServerReadyRequest().SerializeToString()))
    async with serving(tmp_path, config=CONFIG, is_tls=False) as edge:
        yield Clear(Target(f"http://127.0.0.1:{edge.http_server.port}"), row, call)


def model(got: Got) -> str:
    assert got.status == 200
    return str(json.loads(got.body)["model_name"])


def is_ready(got: Got) -> bool:
    assert (got.status, got.headers["grpc-status"]) == (200, "0")
    return wire.ServerReadyResponse.FromString(unframed(got.body)).ready


@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")])
async def test_curl_is_answered_in_the_version_that_it_speaks(clear: Clear, option: str, version: str) -> None:
    got = await clear.target.curl(INFER, option, headers=JSON, body=clear.row)

    assert (model(got), got.version) == ("matrix", version)


async def test_curls_offer_to_upgrade_is_passed_over(clear: Clear) -> None:
    got = await clear.target.curl(INFER, "--http2", headers=JSON, body=clear.row)

    assert (model(got), got.version) == ("matrix", "1.1")


async def test_curl_makes_a_unary_grpc_call(clear: Clear) -> None:
    got = await clear.target.curl(READY, "--http2-prior-knowledge", headers=GRPC, body=clear.call)

    assert is_ready(got)


async def test_nghttp_is_answered(clear: Clear) -> None:
    (got,) = await clear.target.nghttp(INFER, headers=JSON, body=clear.row)

    assert model(got) == "matrix"


async def test_nghttp_makes_a_unary_grpc_call(clear: Clear) -> None:
    (got,) = await clear.target.nghttp(READY, headers=GRPC, body=clear.call)

    assert is_ready(got)


@pytest.mark.parametrize("protocol", [["-p", "h2c"], ["--h1"]], ids=["h2c", "h1"])
async def test_h2load_has_every_request_answered(clear: Clear, protocol: list[str]) -> None:
    load = await clear.target.h2load(INFER, "-c", "4", "-m", "8", *protocol, requests=500, headers=JSON, body=clear.row)

    assert (load.succeeded, load.status_2xx, load.failed) == (500, 500, 0)


async def test_h2load_has_every_grpc_call_answered(clear: Clear) -> None:
    load = await clear.target.h2load(READY, "-c", "4", "-m", "50", requests=2_000, headers=GRPC, body=clear.call)

    assert (load.succeeded, load.status_2xx, load.failed) == (2_000, 2_000, 0)
