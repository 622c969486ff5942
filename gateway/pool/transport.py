"""The gRPC channel to one worker: what it is set to, and the two calls that are made on it."""

from __future__ import annotations

from typing import TypeAlias

import grpc

from gateway.pool.config import PoolConfig
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["Stream", "connect", "describe", "open_stream"]

SERVICE = "/lockgate.workers.v1.Worker"

Stream: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"
"""Bytes both ways: messages are built and read by the codec, so that a broken one is our error and not a log line."""


def connect(address: str, config: PoolConfig, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel of its own for one session; ``credentials`` are for TCP, a Unix socket has its directory's mode."""
    options: list[tuple[str, int]] = [
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        # Retries and back-off are the pool's: a channel that shares connections would share gRPC's back-off too.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.min_reconnect_backoff_ms", config.connect_timeout_ms),
    ]
    if address.startswith("unix:"):
        return grpc.aio.insecure_channel(address, options=options)
    # A host that vanishes says nothing; only an unanswered ping tells.
    options += [("grpc.keepalive_time_ms", config.keepalive_ms), ("grpc.keepalive_timeout_ms", config.keepalive_ms)]
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=options)


async def describe(channel: grpc.aio.Channel, timeout: float) -> wire.Description:  # noqa: ASYNC109  # gRPC's own
    """Answers when the model is loaded; fails at once where nobody listens."""
    call = channel.unary_unary(
        f"{SERVICE}/Describe",
        request_serializer=wire.DescribeRequest.SerializeToString,
        response_deserializer=wire.Description.FromString,
    )
    return await call(wire.DescribeRequest(), timeout=timeout)


def open_stream(channel: grpc.aio.Channel) -> Stream:
    return channel.stream_stream(f"{SERVICE}/Score")()
