"""Real clients against the real server: tritonclient, grpcio, aiohttp, curl and the commands that it prints."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.integration.conftest import IllTreated
from tests.support.many import many, row_of
from tests.support.rough import body
from tests.support.samples import expected, sample, signature
from tests.support.stack import LOCKGATE, PATIENCE, ROOT, Stack

DEPLOYMENTS = [(endpoint, name) for endpoint in ("diamond-price", "tumor") for name in ("blue", "green")]
ROWS = 50


def triton(stack: Stack, *calls: dict[str, Any]) -> list[Any]:
    """What tritonclient makes of these calls, in a process of its own."""
    script = {
        "http": f"localhost:{stack.http_port}",
        "grpc": stack.grpc_target,
        "ca": str(stack.ca),
        "key": f"Bearer {stack.key}",
        "calls": calls,
    }
    driver = ROOT / "tests" / "support" / "triton_driver.py"
    done = subprocess.run(
        [sys.executable, str(driver)],
        input=json.dumps(script),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    return results


def tensors(endpoint: str, deployment: str, count: int, start: int = 0, **extra: Any) -> list[dict[str, Any]]:
    columns = sample(endpoint).head(count, start).by_name()
    types = signature(endpoint, deployment)
    return [
        {"name": name, "datatype": types[name], "shape": [count], "data": values, **extra}
        for name, values in columns.items()
    ]


def outputs(result: Any) -> dict[str, list[Any]]:
    return {name: output["data"] for name, output in result["outputs"].items()}


def answers(endpoint: str, deployment: str, count: int, start: int = 0) -> dict[str, list[Any]]:
    return {name: values[start : start + count] for name, values in expected(endpoint, deployment).items()}


@pytest.mark.parametrize(("endpoint", "deployment"), DEPLOYMENTS)
def test_tritonclient_gets_the_plain_models_answer_in_every_way_it_can_ask(
    examples: Stack, endpoint: str, deployment: str
) -> None:
    ask = {"do": "infer", "model": endpoint, "model_version": deployment}
    results = triton(
        examples,
        {**ask, "wire": "http", "inputs": tensors(endpoint, deployment, ROWS, binary=True)},
        {**ask, "wire": "http", "inputs": tensors(endpoint, deployment, ROWS, binary=False)},
        {
            **ask,
            "wire": "http",
            "inputs": tensors(endpoint, deployment, ROWS),
            "compress": "gzip",
            "decompress": "gzip",
        },
        {**ask, "wire": "grpc", "inputs": tensors(endpoint, deployment, ROWS)},
    )

    assert [outputs(result) for result in results] == [answers(endpoint, deployment, ROWS)] * 4


def test_tritonclient_streams_requests_and_each_is_answered_under_its_id(examples: Stack) -> None:
    asked = [
        {"model": "tumor", "request_id": str(start), "inputs": tensors("tumor", "green", 1, start)}
        for start in range(ROWS)
    ]
    (replies,) = triton(examples, {"do": "stream", "requests": asked})
    either = {start: [answers("tumor", name, 1, start)["label"] for name in ("blue", "green")] for start in range(ROWS)}

    assert sorted(int(reply["id"]) for reply in replies) == list(range(ROWS))
    assert all(outputs(reply)["label"] in either[int(reply["id"])] for reply in replies)


def test_tritonclient_finds_everything_alive_and_described(examples: Stack) -> None:
    results = triton(
        examples,
        *({"do": "control", "wire": wire, "method": "is_server_live"} for wire in ("http", "grpc")),
        *({"do": "control", "wire": wire, "method": "is_server_ready"} for wire in ("http", "grpc")),
        *(
            {"do": "control", "wire": wire, "method": "is_model_ready", "args": ["tumor", "green"]}
            for wire in ("http", "grpc")
        ),
        *(
            {"do": "control", "wire": wire, "method": "get_model_metadata", "args": ["tumor", "green"]}
            for wire in ("http", "grpc")
        ),
    )
    metadata = results.pop()

    assert results[:6] == [True] * 6
    assert [(i["name"], i["datatype"]) for i in results[6]["inputs"]] == list(signature("tumor", "green").items())
    assert [i["name"] for i in metadata["inputs"]] == list(signature("tumor", "green"))


async def test_a_short_deadline_on_a_held_model_is_kept_and_costs_the_worker_nothing(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        before = await clients.infer("lone", 2.0)
        workers = rough.stack.workers("lone/blue")
        with rough.gates["lone"].closed():
            held = asyncio.create_task(clients.score("lone", body(3.0, "wait")))
            await clients.in_flight(1)
            call = clients.stub.ModelInfer(row_of("lone", 2.0), metadata=clients.metadata, timeout=0.05)
            code = await call.code()
        came = await held

    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [before, came.json] == [rough.right(2.0), rough.right(3.0)]
    assert rough.stack.workers("lone/blue") == workers


async def test_a_compressed_call_is_answered(rough: IllTreated) -> None:
    async with many(rough.stack) as clients:
        request = row_of("pair", 2.0)
        answer = await clients.stub.ModelInfer(
            request, metadata=clients.metadata, timeout=PATIENCE, compression=grpc.Compression.Gzip
        )

    assert list(answer.outputs[0].contents.fp64_contents) == rough.right(2.0)


async def test_a_call_that_is_cancelled_frees_its_place_and_nobody_elses(rough: IllTreated) -> None:
    series = 'lockgate_rows_total{deployment="blue",endpoint="lone",gateway="0"}'
    before = rough.stack.metric(series)
    async with many(rough.stack) as clients:
        with rough.gates["lone"].closed():
            held = asyncio.create_task(clients.score("lone", body(3.0, "wait")))
            await clients.in_flight(1)
            first = asyncio.create_task(clients.infer("lone", 1.0))
            call = clients.stub.ModelInfer(row_of("lone", 2.0), metadata=clients.metadata)
            last = asyncio.create_task(clients.infer("lone", 2.5))
            await clients.in_flight(4)
            call.cancel()
            await clients.in_flight(3)
        came = [(await held).json, await first, await last]
        code = await call.code()

    assert code is grpc.StatusCode.CANCELLED
    assert came == [rough.right(3.0), rough.right(1.0), rough.right(2.5)]
    assert rough.stack.metric(series) - before == 3


async def test_an_http_client_that_leaves_frees_its_place(rough: IllTreated) -> None:
    series = 'lockgate_rows_total{deployment="blue",endpoint="lone",gateway="0"}'
    before = rough.stack.metric(series)
    async with many(rough.stack) as clients:
        with rough.gates["lone"].closed():
            held = asyncio.create_task(clients.score("lone", body(3.0, "wait")))
            await clients.in_flight(1)
            leaver = asyncio.create_task(clients.score("lone", body(2.0)))
            await clients.in_flight(2)
            leaver.cancel()
            await clients.in_flight(1)
        came = await held

    assert came.json == rough.right(3.0)
    assert rough.stack.metric(series) - before == 1


async def test_aiohttp_asks_two_hundred_rows_at_once(examples: Stack) -> None:
    frame = sample("tumor")
    async with many(examples) as clients:
        came = await asyncio.gather(
            *(clients.score("tumor", {"input_data": frame.head(1, row).records()}) for row in range(len(frame.rows)))
        )
    either = [{name: expected("tumor", name)["probability"][row] for name in ("blue", "green")} for row in range(200)]

    assert [one.json[0]["probability"] for one in came] == [
        either[row][one.headers["azureml-model-deployment"]] for row, one in enumerate(came)
    ]


def printed(stack: Stack, endpoint: str, start: str) -> list[str]:
    """The commands under "Try ENDPOINT" whose program is ``start``, lines put together as a shell does."""
    first = stack.lines.index(f"Try {endpoint}") + 1
    text = "\n".join(stack.lines[first : stack.lines.index("", first)]).replace("\\\n", "")
    return [line.strip() for line in text.splitlines() if Path(line.split()[0]).name == start]


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """As pasted into a terminal in the folder where the server was started."""
    path = f"{Path(LOCKGATE).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("endpoint", ["diamond-price", "tumor"])
def test_the_curl_command_that_is_printed_scores_the_models_example(examples: Stack, endpoint: str) -> None:
    command, *_ = printed(examples, endpoint, "curl")
    done = shell(command)
    (answer,) = json.loads(done.stdout)

    assert done.returncode == 0
    assert answer > 0 if endpoint == "diamond-price" else answer["label"] == "malignant"


def test_the_curl_command_with_a_key_alone_scores_what_is_stored_for_it(examples: Stack) -> None:
    _, command = printed(examples, "diamond-price", "curl")
    (answer,) = json.loads(shell(f"{command} -H 'azureml-model-deployment: blue'").stdout)

    assert answer == expected("diamond-price", "blue")["price"][0]


@pytest.mark.parametrize("endpoint", ["diamond-price", "tumor"])
def test_the_invoke_commands_that_are_printed_score_the_sample_rows(examples: Stack, endpoint: str) -> None:
    http, over_grpc = [shell(f"{command} --deployment blue") for command in printed(examples, endpoint, "lockgate")]
    wanted = expected(endpoint, "blue")
    records = [dict(zip(wanted, row, strict=True)) for row in zip(*wanted.values(), strict=True)]

    assert json.loads(over_grpc.stdout) == records
    assert json.loads(http.stdout) == (wanted["price"] if endpoint == "diamond-price" else records)
