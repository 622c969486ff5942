"""A client of one library and a server of another, with the same stubs and the same servicer."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import grpc
import grpc.aio

import h2grpc
from tests.h2grpc.interop.servicer import servicer

__all__ = ["PAIRS", "Generated", "Pair", "channel_to", "serve"]

PAIRS = [("h2grpc", "grpcio"), ("grpcio", "h2grpc"), ("h2grpc", "h2grpc")]

ALGORITHMS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate, None: None}

LIMIT = 80 << 20
OPTIONS = [("grpc.max_receive_message_length", LIMIT), ("grpc.max_send_message_length", LIMIT)]


@dataclass(frozen=True, slots=True)
class Generated:
    pb: ModuleType
    stubs: ModuleType


@dataclass(frozen=True, slots=True)
class Pair:
    pb: Any
    stub: Any
    servicer: Any
    channel: Any
    server: Any
    client_library: str
    server_library: str
    stubs: Any
    address: str

    @classmethod
    async def start(
        cls, stack: AsyncExitStack, generated: Generated, client: str, server_library: str, address: str
    ) -> Pair:
        handler = servicer(generated.pb, generated.stubs)
        server = await serve(server_library, generated, handler, address)
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(channel_to(client, address))
        stub = generated.stubs.TestServiceStub(channel)
        return cls(generated.pb, stub, handler, channel, server, client, server_library, generated.stubs, address)


async def serve(library: str, generated: Generated, handler: Any, address: str, compression: str | None = None) -> Any:
    if library == "grpcio":
        server: Any = grpc.aio.server(options=OPTIONS, compression=ALGORITHMS[compression])
    else:
        server = h2grpc.server(limits=h2grpc.Limits(max_receive_message=LIMIT), compression=compression)
    generated.stubs.add_TestServiceServicer_to_server(handler, server)
    server.add_insecure_port(address)
    await server.start()
    return server


def channel_to(library: str, address: str, compression: str | None = None) -> Any:
    if library == "grpcio":
        options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.insecure_channel(address, options=options, compression=ALGORITHMS[compression])
    config = h2grpc.ChannelConfig(limits=replace(h2grpc.CLIENT_LIMITS, max_receive_message=LIMIT))
    return h2grpc.insecure_channel(address, config=config, compression=compression)
