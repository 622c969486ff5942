"""``kill -9`` of a gateway, of a deployment's parent and of the whole server; SIGTERM while requests are in flight."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.conftest import IllTreated
from tests.support.https import Https
from tests.support.many import many
from tests.support.rough import Gate, Rough, body
from tests.support.stack import Stack, gone, kill, start

IN_FLIGHT = 100


def score(stack: Stack, endpoint: str, wt: float = 2.0) -> tuple[int, object]:
    with Https(stack) as https:
        reply = https.post(f"/api/v1/endpoint/{endpoint}/score", body(wt))
        return reply.status, reply.json


def test_a_gateway_that_is_killed_is_back_for_new_connections(rough: IllTreated) -> None:
    since = rough.stack.mark()
    (gateway,) = rough.stack.gateways()
    kill(gateway)
    for endpoint in ("pair", "lone"):
        for worker in range(len(rough.stack.workers(f"{endpoint}/blue"))):
            rough.stack.reconnected(f"{endpoint}/blue", since, worker)
    rough.stack.event("gateway.started", since)

    assert score(rough.stack, "pair") == (200, rough.right(2.0))
    assert rough.stack.gateways() != [gateway]
    assert rough.stack.metric('lockgate_process_restarts_total{process="gateway/0"}') >= 1


def test_workers_outlive_a_gateway_that_is_killed(rough: IllTreated) -> None:
    workers, since = rough.stack.workers("pair/blue"), rough.stack.mark()
    (gateway,) = rough.stack.gateways()
    kill(gateway)
    rough.stack.reconnected("pair/blue", since)

    assert rough.stack.workers("pair/blue") == workers


@pytest.mark.parametrize("endpoint", ["pair", "net-pair"])
async def test_requests_wait_for_a_deployment_whose_processes_are_all_killed(rough: IllTreated, endpoint: str) -> None:
    since, group = rough.stack.mark(), rough.stack.group(f"{endpoint}/blue")
    kill(group)
    await asyncio.to_thread(rough.stack.event, "supervisor.child_exited", since, child=f"{endpoint}/blue")
    async with many(rough.stack) as clients:
        asked = body(2.0) if endpoint == "pair" else {"input_data": {"x": [[1.0, 2.0, 3.0, 4.0]]}}
        came = await asyncio.gather(*(clients.score(endpoint, asked) for _ in range(10)))
    await asyncio.to_thread(rough.stack.reconnected, f"{endpoint}/blue", since)

    assert {one.status for one in came} == {200}
    assert rough.stack.group(f"{endpoint}/blue") != group


def test_the_workers_of_a_group_that_is_killed_go_with_it(rough: IllTreated) -> None:
    since, workers = rough.stack.mark(), rough.stack.workers("pair/blue")
    descriptors = [os.pidfd_open(worker) for worker in workers]
    kill(rough.stack.group("pair/blue"))
    gone(descriptors)
    for worker in range(2):
        rough.stack.reconnected("pair/blue", since, worker)

    assert not set(workers) & set(rough.stack.workers("pair/blue"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Stack, Rough, Gate]]:
    """A server of one R and one ONNX model that a test may end."""
    folder = Rough(tmp_path / "served", settings="log_level: info\n")
    gate = folder.r("lone", workers=1)
    folder.onnx("net", workers=1)
    stack = start(folder.root, tmp_path)
    try:
        yield stack.ready(), folder, gate
    finally:
        stack.stop()


async def test_sigterm_answers_a_hundred_requests_in_flight_and_ends_with_0(
    own: tuple[Stack, Rough, Gate],
) -> None:
    stack, folder, gate = own
    weights = sorted(folder.answers)[:IN_FLIGHT]
    async with many(stack) as clients:
        with gate.closed():
            asked = [asyncio.create_task(clients.score("lone", body(weights[0], "wait")))]
            await clients.in_flight(1)
            asked += [asyncio.create_task(clients.score("lone", body(wt))) for wt in weights[1 : IN_FLIGHT // 2]]
            calls = [asyncio.create_task(clients.infer("lone", wt)) for wt in weights[IN_FLIGHT // 2 :]]
            await clients.in_flight(IN_FLIGHT)
            stack.terminate()
            await asyncio.to_thread(stack.event, "gateway.draining")
            gate.open()
            came = [*(one.json for one in await asyncio.gather(*asked)), *await asyncio.gather(*calls)]
    code = await asyncio.to_thread(stack.wait)

    assert came == [[folder.answers[wt]] for wt in weights]
    assert code == 0
    assert stack.complaints() == []


async def test_nothing_is_left_of_a_server_that_is_killed_at_work(own: tuple[Stack, Rough, Gate]) -> None:
    stack, _, gate = own
    with gate.closed():
        async with many(stack) as clients:
            asked = asyncio.create_task(clients.score("lone", body(2.0, "wait")))
            await clients.in_flight(1)
            family = stack.processes()
            gateways = [os.pidfd_open(process.pid) for process in family if process.is_gateway]
            others = [os.pidfd_open(process.pid) for process in family if not process.is_gateway]
            stack.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(gone, gateways)
            gate.open()  # not before: an answer may be quicker than the kernel
            await asyncio.to_thread(gone, others)
            with pytest.raises(aiohttp.ClientError):
                await asked

    assert len(family) == 5
    assert stack.wait() == -signal.SIGKILL


async def test_a_second_sigterm_does_not_wait(own: tuple[Stack, Rough, Gate]) -> None:
    stack, _, gate = own
    with gate.closed():
        async with many(stack) as clients:
            asked = asyncio.create_task(clients.score("lone", body(2.0, "wait")))
            await clients.in_flight(1)
            stack.terminate()
            await asyncio.to_thread(stack.event, "serve.draining")
            stack.terminate()
            await asyncio.to_thread(stack.event, "serve.killed")
            code = await asyncio.to_thread(stack.wait)
            with pytest.raises(aiohttp.ClientError):
                await asked

    assert code == 0
