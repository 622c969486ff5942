"""What perf_analyzer asks before its first request, and what it would die of, at the level of its JSON and protobuf."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from gateway.edge.http_message import HttpRequest
from gateway.wire.v1 import grpc_service_pb2 as pb
from tests.support.oip_edge import exchange_of, serving
from tests.support.oip_stack import KEY, OipStack

AUTHORIZED = (("authorization", KEY),)


async def get(path: str) -> Any:
    response = await exchange_of(OipStack())(HttpRequest("GET", path, "", {"authorization": KEY}, b""))
    assert response.status == 200
    return json.loads(response.body)


async def test_metadata_covers_every_input_of_the_configuration() -> None:
    metadata = await get("/v2/models/echo")
    config = await get("/v2/models/echo/config")

    assert {tensor["name"] for tensor in config["input"]} == {tensor["name"] for tensor in metadata["inputs"]}


async def test_metadata_has_one_dimension_more_than_the_configuration() -> None:
    metadata = await get("/v2/models/echo")
    config = await get("/v2/models/echo/config")

    assert config["max_batch_size"] > 0
    assert [t["shape"] for t in metadata["inputs"]] == [[-1, *t["dims"]] for t in config["input"]]


async def test_the_configuration_names_one_scheduler() -> None:
    config = await get("/v2/models/echo/config")

    assert "dynamic_batching" in config
    assert not {"sequence_batching", "ensemble_scheduling"} & set(config)


async def test_the_extensions_include_statistics() -> None:
    assert "statistics" in (await get("/v2"))["extensions"]


async def test_the_versions_of_statistics_are_integers() -> None:
    stats = await get("/v2/models/echo/stats")

    assert [int(entry["version"]) for entry in stats["model_stats"]] == [1, 2]


async def test_a_version_that_was_asked_for_is_found_in_the_statistics() -> None:
    stats = await get("/v2/models/echo/versions/2/stats")

    assert [(entry["name"], entry["version"]) for entry in stats["model_stats"]] == [("echo", "2")]


async def test_every_part_of_computing_was_done_as_often_as_the_others() -> None:
    (stats, _) = (await get("/v2/models/echo/stats"))["model_stats"]
    parts = ("compute_input", "compute_infer", "compute_output")

    assert {stats["inference_stats"][part]["count"] for part in parts} == {3}
    for batch in stats["batch_stats"]:
        assert len({batch[part]["count"] for part in parts}) == 1


async def test_grpc_says_the_same_as_http(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        asked = {"metadata": AUTHORIZED, "timeout": 10}
        config = await edge.stub.ModelConfig(pb.ModelConfigRequest(name="echo"), **asked)
        metadata = await edge.stub.ModelMetadata(pb.ModelMetadataRequest(name="echo"), **asked)
        stats = await edge.stub.ModelStatistics(pb.ModelStatisticsRequest(name="echo"), **asked)

    http_config = await get("/v2/models/echo/config")
    http_stats = await get("/v2/models/echo/stats")
    http_metadata = await get("/v2/models/echo")
    told = MessageToDict(config.config, preserving_proto_field_name=True)
    assert told["max_batch_size"] == http_config["max_batch_size"]
    assert [t["name"] for t in told["input"]] == [t["name"] for t in http_config["input"]]
    assert "dynamic_batching" in told
    assert [list(t.shape) for t in metadata.inputs] == [t["shape"] for t in http_metadata["inputs"]]
    assert [s.version for s in stats.model_stats] == [s["version"] for s in http_stats["model_stats"]]
    assert stats.model_stats[0].inference_stats.queue.count == 3
