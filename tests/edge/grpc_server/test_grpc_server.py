"""Plain grpcio against the real listener: deadlines, cancellation, streams, health, reflection, draining."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.core.payload import Tensors
from gateway.core.request import Deployment, Received
from gateway.core.rows import Rows
from gateway.edge.config import EdgeConfig
from gateway.edge.grpc_server import SERVICE
from gateway.wire.v1 import grpc_service_pb2 as pb
from tests.support.oip_edge import OipEdge, serving
from tests.support.oip_stack import KEY, OipStack

METADATA = (("authorization", KEY),)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def matrix(model: str = "matrix", id: str = "", rows: int = 1) -> pb.ModelInferRequest:  # noqa: A002  # the protocol's word
    request = pb.ModelInferRequest(model_name=model, id=id)
    request.inputs.add(name="x", datatype="FP32", shape=[rows, 4])
    request.raw_input_contents.append(struct.pack(f"<{4 * rows}f", *range(4 * rows)))
    return request


def trailers(call: Any) -> dict[str, str]:
    return dict(call)


async def health(edge: OipEdge, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(edge.channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    status: int = reply.status
    return status


async def test_an_answer_is_followed_by_who_gave_it_and_its_timings(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        call = edge.stub.ModelInfer(matrix(), metadata=(*METADATA, ("x-ms-client-request-id", "mine")), timeout=10)
        await call
        told = trailers(await call.trailing_metadata())

    assert told["azureml-model-deployment"] == "blue"
    assert told["x-ms-client-request-id"] == "mine"
    assert len(told["x-request-id"]) == 36
    assert [part.split(";")[0] for part in told["server-timing"].split(", ")] == ["receive", "worker", "answer"]


async def test_metadata_pins_a_deployment_and_carries_the_trace(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        pins = (("azureml-model-deployment", "green"), ("traceparent", "00-1-2-01"))
        answer = await edge.stub.ModelInfer(matrix(), metadata=(*METADATA, *pins), timeout=10)

        assert answer.model_version == "green"
        assert edge.stack.seen[0].traceparent == "00-1-2-01"


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("azureml-model-deployment", "green", "deployment"),
        ("traceparent", "00-1-2-01", "traceparent"),
        ("x-ms-client-request-id", "mine", "request_id"),
        ("x-ms-request-id", "mine", "request_id"),
    ],
)
async def test_each_piece_of_metadata_is_seen_where_it_comes_alone(
    name: str, value: str, field: str, tmp_path: Path
) -> None:
    async with serving(tmp_path) as edge:
        await edge.stub.ModelInfer(matrix(), metadata=(*METADATA, (name, value)), timeout=10)

        assert getattr(edge.stack.seen[0], field) == value


async def test_requests_of_one_kind_are_each_answered_with_their_own(tmp_path: Path) -> None:
    requests = [matrix(id=str(i)) for i in range(4)]
    for i, request in enumerate(requests):
        request.raw_input_contents[0] = struct.pack("<4f", i, 1, 2, 3)
    async with serving(tmp_path) as edge:
        answers = [await edge.stub.ModelInfer(request, metadata=METADATA, timeout=10) for request in requests]
        seen = [received.read() for received in edge.stack.seen]

    assert [answer.id for answer in answers] == ["0", "1", "2", "3"]
    assert [payload.tensors[0].raw for payload in seen if isinstance(payload, Tensors)] == [
        request.raw_input_contents[0] for request in requests
    ]
    assert len({answer.raw_output_contents[0] for answer in answers}) == len(requests)


async def test_a_message_that_is_none_is_refused_without_an_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        infer: Any = edge.channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError):
            await infer(b"\x0a\xff", metadata=METADATA, timeout=10)

    assert edge.stack.seen == []


@pytest.mark.parametrize("value", [{}, {"string_param": "soon"}, {"int64_param": -1}])
async def test_a_timeout_that_is_no_number_is_refused(value: dict[str, Any], tmp_path: Path) -> None:
    request = matrix()
    request.parameters["timeout"].CopyFrom(pb.InferParameter(**value))
    async with serving(tmp_path) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await edge.stub.ModelInfer(request, metadata=METADATA, timeout=10)

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_version_and_a_pin_that_differ_are_refused(tmp_path: Path) -> None:
    request = matrix()
    request.model_version = "1"
    async with serving(tmp_path) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await edge.stub.ModelInfer(request, metadata=(*METADATA, ("azureml-model-deployment", "green")), timeout=10)

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_refusal_says_when_to_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await edge.stub.ModelInfer(matrix("busy"), metadata=METADATA, timeout=10)

    assert failure.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailers(failure.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1500"


async def test_the_calls_deadline_reaches_the_core(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        before = asyncio.get_running_loop().time()
        await edge.stub.ModelInfer(matrix(), metadata=METADATA, timeout=50)
        deadline = edge.stack.seen[0].deadline

    assert deadline is not None
    assert before + 40 < deadline < before + 51


async def test_without_a_deadline_there_is_none(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge, asyncio.timeout(10):
        await edge.stub.ModelInfer(matrix(), metadata=METADATA)

        assert edge.stack.seen[0].deadline is None


async def test_the_timeout_parameter_shortens_the_deadline(tmp_path: Path) -> None:
    request = matrix()
    request.parameters["timeout"].int64_param = 20_000_000
    async with serving(tmp_path) as edge:
        before = asyncio.get_running_loop().time()
        await edge.stub.ModelInfer(request, metadata=METADATA, timeout=500)
        deadline = edge.stack.seen[0].deadline

    assert deadline is not None
    assert before + 19 < deadline < before + 60


async def test_a_passed_deadline_cancels_the_work(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge, asyncio.timeout(10):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await edge.stub.ModelInfer(matrix("slow"), metadata=METADATA, timeout=0.2)
        await edge.stack.cancelled.wait()

    assert failure.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_caller_who_leaves_cancels_the_work(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge, asyncio.timeout(10):
        call = edge.stub.ModelInfer(matrix("slow"), metadata=METADATA)
        await edge.stack.started.wait()
        call.cancel()
        await edge.stack.cancelled.wait()

    assert [status for _, status, _ in edge.stack.done] == [grpc.StatusCode.CANCELLED.value[0]]


async def test_a_compressed_message_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        answer = await edge.stub.ModelInfer(
            matrix(rows=200), metadata=METADATA, timeout=10, compression=grpc.Compression.Gzip
        )

    assert answer.outputs[0].shape == [200, 4]


async def test_a_message_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    config = EdgeConfig(host="localhost", http_port=0, grpc_port=0, max_body_bytes=100_000)
    async with serving(tmp_path, config=config) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await edge.stub.ModelInfer(matrix(rows=20_000), metadata=METADATA, timeout=10)

    assert failure.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stream_answers_in_the_order_of_finishing(tmp_path: Path) -> None:
    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        yield matrix("slow", "first")
        yield matrix("matrix", "second")

    ids = []
    async with serving(tmp_path) as edge, asyncio.timeout(10):
        async for reply in edge.stub.ModelStreamInfer(requests(), metadata=METADATA):
            ids.append(reply.infer_response.id)
            edge.stack.release.set()

    assert ids == ["second", "first"]


async def test_every_answer_of_a_stream_is_its_requests_last(tmp_path: Path) -> None:
    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        for name in "abc":
            yield matrix(id=name)

    async with serving(tmp_path) as edge, asyncio.timeout(10):
        replies = [reply async for reply in edge.stub.ModelStreamInfer(requests(), metadata=METADATA)]

    assert sorted(reply.infer_response.id for reply in replies) == ["a", "b", "c"]
    assert all(reply.infer_response.parameters["triton_final_response"].bool_param for reply in replies)
    assert all(len(reply.infer_response.raw_output_contents) == 1 for reply in replies)


async def test_an_error_on_a_stream_names_its_request_and_status(tmp_path: Path) -> None:
    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        yield matrix("busy", "b")

    async with serving(tmp_path) as edge, asyncio.timeout(10):
        [reply] = [r async for r in edge.stub.ModelStreamInfer(requests(), metadata=METADATA)]

    assert (reply.error_message, reply.infer_response.id) == ("full", "b")
    assert reply.infer_response.parameters["status"].string_param == "RESOURCE_EXHAUSTED"


async def test_a_stream_takes_no_more_requests_than_it_may_have_in_flight(tmp_path: Path) -> None:
    stack = OipStack()
    gates: asyncio.Queue[asyncio.Event] = asyncio.Queue()
    in_flight: list[int] = [0]

    async def held(received: Received, deployment: Deployment, rows: Rows) -> Rows:
        in_flight.append(in_flight[-1] + 1)
        if in_flight[-1] == 3:
            stack.started.set()
        gate = asyncio.Event()
        gates.put_nowait(gate)
        await gate.wait()
        in_flight.append(in_flight[-1] - 1)
        return rows

    stack.behaviours["matrix"] = held

    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        for i in range(12):
            yield matrix(id=str(i))

    async with serving(tmp_path, stack=stack, max_in_flight_per_stream=3) as edge, asyncio.timeout(10):
        call = edge.stub.ModelStreamInfer(requests(), metadata=METADATA)
        await stack.started.wait()
        for _ in range(12):
            (await gates.get()).set()
            await call.read()

    assert max(in_flight) == 3


async def test_leaving_a_stream_cancels_what_it_asked_for(tmp_path: Path) -> None:
    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        yield matrix("slow")
        await asyncio.Event().wait()

    async with serving(tmp_path) as edge, asyncio.timeout(10):
        call = edge.stub.ModelStreamInfer(requests(), metadata=METADATA)
        await edge.stack.started.wait()
        call.cancel()
        await edge.stack.cancelled.wait()


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_is_serving_until_it_is_told_otherwise(service: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        first = await health(edge, service)
        await edge.grpc_server.set_ready(is_ready=False)
        second = await health(edge, service)

    assert (first, second) == (SERVING, NOT_SERVING)


async def test_draining_says_so_and_answers_what_was_accepted(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge, asyncio.timeout(10):
        watch = health_pb2_grpc.HealthStub(edge.channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        states = [(await watch.read()).status]
        call = edge.stub.ModelInfer(matrix("slow"), metadata=METADATA)
        await edge.stack.started.wait()
        drained = asyncio.create_task(edge.grpc_server.drain(5))
        states.append((await watch.read()).status)
        watch.cancel()
        edge.stack.release.set()
        answer = await call
        await drained

    assert states == [SERVING, NOT_SERVING]
    assert answer.model_version == "blue"


async def test_a_drain_ends_with_its_grace(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge, asyncio.timeout(10):
        call = edge.stub.ModelInfer(matrix("slow"), metadata=METADATA)
        await edge.stack.started.wait()
        await edge.grpc_server.drain(0.05)
        await edge.stack.cancelled.wait()
        code = await call.code()

    assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_reflection_lists_and_describes_the_service(tmp_path: Path) -> None:
    async def questions() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        yield reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)

    async with serving(tmp_path) as edge, asyncio.timeout(10):
        stub = reflection_pb2_grpc.ServerReflectionStub(edge.channel)
        listed, described = [reply async for reply in stub.ServerReflectionInfo(questions())]

    assert {SERVICE, "grpc.health.v1.Health"} <= {s.name for s in listed.list_services_response.service}
    assert b"ModelStreamInfer" in described.file_descriptor_response.file_descriptor_proto[0]
