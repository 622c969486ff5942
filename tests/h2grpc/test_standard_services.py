"""The standard health and reflection servicers, unchanged, with grpcio's own stubs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1._async import HealthServicer  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

import h2grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def health() -> HealthServicer:
    return HealthServicer()


@pytest.fixture
async def channel(health: HealthServicer) -> AsyncIterator[grpc.aio.Channel]:
    server = h2grpc.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(ReflectionServicer(names), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def test_health_is_told(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)

    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING


async def test_a_service_that_is_not_known_is_not_found(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_whoever_watches_health_hears_of_a_change(channel: grpc.aio.Channel, health: HealthServicer) -> None:
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    first = await watch.read()
    await health.set("", NOT_SERVING)
    second = await watch.read()

    assert (first.status, second.status) == (SERVING, NOT_SERVING)
    watch.cancel()


async def test_reflection_lists_services_and_describes_them(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = await call.read()
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"))
    described = await call.read()
    await call.done_writing()

    assert [service.name for service in listed.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert described.file_descriptor_response.file_descriptor_proto


async def test_a_message_that_cannot_be_read_is_the_callers_fault(channel: grpc.aio.Channel) -> None:
    check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(b"\xff\xff\xff")
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details() == "the message cannot be read as what the method takes"


async def test_methods_that_a_servicer_leaves_out_are_unimplemented() -> None:
    server = h2grpc.server()
    health_pb2_grpc.add_HealthServicer_to_server(health_pb2_grpc.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    await server.stop(None)

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")
