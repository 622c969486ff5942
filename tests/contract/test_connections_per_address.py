"""One address cannot hold all the places, over whichever protocol; whoever leaves makes room for the next."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest

from gateway.edge.config import EdgeConfig
from gateway.wire.v1 import grpc_service_pb2 as pb
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.edge_app import Edge, serving
from tests.support.edge_service import FakeCore
from tests.support.http_wire import Wire, connected, post
from tests.support.oip_edge import serving as serving_oip

CONFIG = EdgeConfig(host="127.0.0.1", http_port=0, max_connections_per_address=2)


async def ask(wire: Wire) -> int | None:
    """The status, or None from who does not want to talk."""
    wire.send(post())
    try:
        return (await wire.answer())[0]
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def ask_anew(edge: Edge) -> int | None:
    async with connected(edge) as wire:
        return await ask(wire)


@pytest.mark.usefixtures("http_engine")
async def test_a_connection_beyond_the_limit_is_closed_and_the_others_go_on() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as one, connected(edge) as two:
        first = [await ask(one), await ask(two)]
        beyond = [await ask_anew(edge) for _ in range(20)]
        after = [await ask(one), await ask(two)]

    assert (first, after) == ([200, 200], [200, 200])
    assert beyond == [None] * 20
    assert len(edge.core.received) == 4


@pytest.mark.usefixtures("http_engine")
async def test_who_leaves_makes_room() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as one:
        for _ in range(5):
            async with asyncio.timeout(10):
                while await ask_anew(edge) is None:  # until the server has seen the last one leave
                    pass

        assert await ask(one) == 200


async def test_grpc_has_the_same_limit(tmp_path: Path) -> None:
    config = EdgeConfig(host="localhost", http_port=0, grpc_port=0, grpc_engine="h2grpc", max_connections_per_address=1)
    async with serving_oip(tmp_path, config=config) as edge:
        stub = edge.stub
        await stub.ServerLive(pb.ServerLiveRequest(), timeout=10)
        credentials = grpc.ssl_channel_credentials(edge.ca.read_bytes())
        # A channel of its own, and not one that shares the connection of the first.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"localhost:{edge.grpc_server.port}", credentials, options) as channel:
            other = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await other.ServerLive(pb.ServerLiveRequest(), timeout=10)
        still = await stub.ServerLive(pb.ServerLiveRequest(), timeout=10)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert still.live
