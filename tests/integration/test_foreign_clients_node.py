"""gRPC's client for Node.js against the real server, on the port of gRPC and on the one that serves everything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.conftest import IllTreated
from tests.support.many import many
from tests.support.node_client import Ended, NodeClient, node
from tests.support.rough import body
from tests.support.samples import expected, sample, signature
from tests.support.stack import ROOT, Stack

PROTO = ROOT / "proto" / "gateway" / "wire" / "v1" / "grpc_service.proto"
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
PORTS = ["grpc_port", "http_port"]

CONTENTS = {"FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "INT32": "int_contents"}


def client_of(stack: Stack, port: str) -> Any:
    return node(f"localhost:{getattr(stack, port)}", stack.ca, PROTO)


def key(stack: Stack) -> tuple[str, str]:
    return "authorization", f"Bearer {stack.key}"


def request_of(endpoint: str, deployment: str, count: int, **more: Any) -> dict[str, Any]:
    """The first rows of the sample, as JSON for the schema."""
    inputs = []
    types = signature(endpoint, deployment)
    for name, values in sample(endpoint).head(count).by_name().items():
        field = CONTENTS[types[name]]
        inputs.append({"name": name, "datatype": types[name], "shape": [count], "contents": {field: values}})
    return {"model_name": endpoint, "model_version": deployment, "inputs": inputs, **more}


def numbers_of(message: dict[str, Any]) -> list[float]:
    """Its output that is a number for each row."""
    outputs = {output["name"]: output for output in message["outputs"]}
    return list(outputs["probability"]["contents"][CONTENTS[outputs["probability"]["datatype"]]])


def rough_row(endpoint: str, wt: float) -> dict[str, Any]:
    return {
        "model_name": endpoint,
        "inputs": [
            {"name": "wt", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [wt]}},
            {"name": "act", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": ["bm9uZQ=="]}},
        ],
    }


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("deployment", ["blue", "green"])
async def test_model_infer_gets_the_plain_models_answer(examples: Stack, port: str, deployment: str) -> None:
    async with client_of(examples, port) as client:
        ended = await client.call("unary", INFER, request_of("tumor", deployment, 50), metadata=[key(examples)])

    assert (ended.code, ended.ends) == ("OK", 1)
    assert numbers_of(ended.messages[0]) == expected("tumor", deployment)["probability"][:50]


@pytest.mark.parametrize("port", PORTS)
async def test_model_stream_infer_answers_each_request_under_its_id(examples: Stack, port: str) -> None:
    asked = [request_of("tumor", "green", count, id=str(count)) for count in range(1, 31)]
    async with client_of(examples, port) as client:
        ended = await client.call("duplex", STREAM, *asked, metadata=[key(examples)])
    answers = {int(m["infer_response"]["id"]): numbers_of(m["infer_response"]) for m in ended.messages}
    wanted = expected("tumor", "green")["probability"]

    assert (ended.code, ended.ends) == ("OK", 1)
    assert answers == {count: wanted[:count] for count in range(1, 31)}


@pytest.mark.parametrize("port", PORTS)
async def test_metadata_pins_a_deployment_and_the_trailers_name_it(examples: Stack, port: str) -> None:
    request = request_of("tumor", "green", 1) | {"model_version": ""}
    metadata = [key(examples), ("azureml-model-deployment", "green"), ("x-unheard-of-bin", bytes(range(256)))]
    async with client_of(examples, port) as client:
        ended = await client.call("unary", INFER, request, metadata=metadata)

    assert numbers_of(ended.messages[0]) == expected("tumor", "green")["probability"][:1]
    assert ("azureml-model-deployment", "green") in ended.trailing


@pytest.mark.parametrize("port", PORTS)
async def test_who_has_no_key_is_told_so(examples: Stack, port: str) -> None:
    async with client_of(examples, port) as client:
        ended = await client.call("unary", INFER, request_of("tumor", "green", 1))

    assert (ended.code, ended.messages) == ("UNAUTHENTICATED", [])


@pytest.mark.parametrize("port", PORTS)
async def test_a_request_of_a_megabyte_is_answered(examples: Stack, port: str) -> None:
    rows, times = 200, 20
    request = request_of("tumor", "green", rows)
    for tensor in request["inputs"]:
        tensor["shape"] = [rows * times]
        ((field, values),) = tensor["contents"].items()
        tensor["contents"] = {field: values * times}
    async with client_of(examples, port) as client:
        ended = await client.call("unary", INFER, request, metadata=[key(examples)])

    assert ended.code == "OK", ended.details
    assert numbers_of(ended.messages[0]) == expected("tumor", "green")["probability"] * times


async def held_call(rough: IllTreated, client: NodeClient, clients: Any, **options: Any) -> tuple[Any, Any]:
    """One request in the model's only place, and Node's behind it."""
    held = asyncio.create_task(clients.score("lone", body(3.0, "wait")))
    await clients.in_flight(1)
    call = client.start("unary", INFER, rough_row("lone", 2.0), metadata=[key(rough.stack)], **options)
    return held, call


@pytest.mark.parametrize("port", PORTS)
async def test_a_deadline_is_kept_while_the_model_is_busy(rough: IllTreated, port: str) -> None:
    async with many(rough.stack) as clients, client_of(rough.stack, port) as client:
        with rough.gates["lone"].closed():
            held, call = await held_call(rough, client, clients, timeout=0.5)
            ended: Ended = await call.ended
        came = await held

    assert (ended.code, ended.ends) == ("DEADLINE_EXCEEDED", 1)
    assert came.json == rough.right(3.0)


@pytest.mark.parametrize("port", PORTS)
async def test_a_caller_that_leaves_frees_its_place(rough: IllTreated, port: str) -> None:
    async with many(rough.stack) as clients, client_of(rough.stack, port) as client:
        with rough.gates["lone"].closed():
            held, call = await held_call(rough, client, clients)
            await clients.in_flight(2)
            call.cancel()
            ended: Ended = await call.ended
            await clients.in_flight(1)
        came = await held

    assert (ended.code, ended.ends) == ("CANCELLED", 1)
    assert came.json == rough.right(3.0)


@pytest.mark.parametrize("port", PORTS)
async def test_a_client_that_is_killed_frees_its_places(rough: IllTreated, port: str) -> None:
    async with many(rough.stack) as clients, client_of(rough.stack, port) as client:
        with rough.gates["lone"].closed():
            held, call = await held_call(rough, client, clients)
            await clients.in_flight(2)
            client.process.kill()
            await clients.in_flight(1)
        came = await held

    assert came.json == rough.right(3.0)
    await asyncio.wait([call.ended])
