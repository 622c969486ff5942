"""``kill -9`` of workers in the middle of a stream of requests: what is answered is right, and the worker is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio
import numpy as np
import pytest

from gateway.wire.v1 import grpc_service_pb2 as wire
from tests.integration.conftest import IllTreated
from tests.support.many import many, row_of
from tests.support.onnx_models import mlp_answers
from tests.support.rough import body
from tests.support.stack import PATIENCE, Stack, kill

CALLERS = 8
Ask = Callable[[int], Awaitable[tuple[int, Any]]]
"""Asks for the row of that number; gives the status, and what was answered if it was 200."""


async def stream(stack: Stack, deployment: str, ask: Ask, right: Callable[[int], Any]) -> list[int]:
    """
    Callers that ask without a pause while every worker of the deployment is killed, one after the other.

    The statuses of everything that was asked. Fails at a wrong answer.
    """
    statuses: list[int] = []
    is_over = False
    news = asyncio.Condition()

    async def call(caller: int) -> None:
        row = caller
        while not is_over:
            status, answer = await ask(row)
            if status == 200:
                assert answer == right(row)
            async with news:
                statuses.append(status)
                news.notify_all()
            row += CALLERS

    async def answered(more: int) -> None:
        wanted = statuses.count(200) + more
        async with news:
            await news.wait_for(lambda: statuses.count(200) >= wanted)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as callers:
        for caller in range(CALLERS):
            callers.create_task(call(caller))
        for worker in stack.workers(deployment):
            await answered(40)
            since = stack.mark()
            kill(worker)
            died = await asyncio.to_thread(stack.event, "workers.worker_died", since, status=-9)
            number = int(died["worker"].rpartition("/")[2])
            await asyncio.to_thread(stack.reconnected, deployment, since, number)
        await answered(40)
        is_over = True
    return statuses


def r_row(rough: IllTreated, row: int) -> float:
    weights = sorted(rough.folder.answers)
    return weights[row % len(weights)]


@pytest.mark.parametrize("endpoint", ["pair", "lone"])
async def test_r_workers_that_are_killed_cost_no_request_over_http(rough: IllTreated, endpoint: str) -> None:
    async with many(rough.stack) as clients:

        async def ask(row: int) -> tuple[int, Any]:
            came = await clients.score(endpoint, body(r_row(rough, row)))
            return came.status, came.json

        statuses = await stream(rough.stack, f"{endpoint}/blue", ask, lambda row: rough.right(r_row(rough, row)))

    assert set(statuses) == {200}


def network_rows(row: int) -> np.ndarray[Any, Any]:
    return np.array([[row, row % 7, -row, 0.5]], dtype="f4") / 100


@pytest.mark.parametrize("endpoint", ["net-pair", "net-lone"])
async def test_onnx_workers_that_are_killed_cost_no_request_over_http(rough: IllTreated, endpoint: str) -> None:
    async with many(rough.stack) as clients:

        async def ask(row: int) -> tuple[int, Any]:
            came = await clients.score(endpoint, {"input_data": {"x": network_rows(row).tolist()}})
            return came.status, came.json

        statuses = await stream(
            rough.stack,
            f"{endpoint}/blue",
            ask,
            lambda row: pytest.approx(mlp_answers(network_rows(row)).tolist(), rel=1e-3, abs=1e-5),
        )

    assert set(statuses) == {200}


@pytest.mark.parametrize("endpoint", ["pair", "net-pair"])
async def test_workers_that_are_killed_cost_no_request_over_grpc(rough: IllTreated, endpoint: str) -> None:
    is_r = endpoint == "pair"

    def request(row: int) -> wire.ModelInferRequest:
        if is_r:
            return row_of(endpoint, r_row(rough, row))
        asked = wire.ModelInferRequest(model_name=endpoint)
        asked.inputs.add(name="x", datatype="FP32", shape=[1, 4])
        asked.raw_input_contents.append(network_rows(row).tobytes())
        return asked

    def right(row: int) -> Any:
        return (
            rough.right(r_row(rough, row))
            if is_r
            else pytest.approx(mlp_answers(network_rows(row)).tolist(), rel=1e-3, abs=1e-5)
        )

    async with many(rough.stack) as clients:

        async def ask(row: int) -> tuple[int, Any]:
            try:
                answer = await clients.stub.ModelInfer(request(row), metadata=clients.metadata, timeout=PATIENCE)
            except grpc.aio.AioRpcError as error:
                return error.code().value[0], None
            if is_r:
                return 200, list(answer.outputs[0].contents.fp64_contents)
            return 200, np.frombuffer(answer.raw_output_contents[0], "<f4").tolist()

        statuses = await stream(rough.stack, f"{endpoint}/blue", ask, right)

    assert set(statuses) == {200}
