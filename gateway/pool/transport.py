"""
The gRPC channel to one worker: what it is set to, and the two calls that are made on it.

Two engines offer the same: h2grpc, which costs a tenth per message, and grpc.aio, for where ngh2 cannot be had. A
worker cannot tell them apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import grpc
import structlog

from gateway.pool.config import PoolConfig
from workers.wire.v1 import worker_pb2 as wire

try:
    import h2grpc
except ImportError as error:  # ngh2 has wheels for Linux and macOS only
    h2grpc = None  # type: ignore[assignment]
    structlog.get_logger().warning("pool.grpcio_instead_of_h2grpc", reason=str(error))

__all__ = ["RPC_ERRORS", "Channel", "Stream", "connect", "describe", "open_stream"]

SERVICE = "/lockgate.workers.v1.Worker"

RPC_ERRORS: tuple[type[Exception], ...] = (
    (grpc.aio.AioRpcError,) if h2grpc is None else (grpc.aio.AioRpcError, h2grpc.RpcError)
)
"""A call ended badly; ``code().name`` and ``details()`` say how."""

Channel: TypeAlias = Any
"""``grpc.aio.Channel`` or ``h2grpc.Channel``."""


class Stream(Protocol):
    """Bytes both ways: the codec builds and reads messages, so that a broken one is our error and not a log line."""

    async def read(self) -> Any:
        """The next message; anything but bytes when there is none."""
        ...

    async def write(self, request: bytes) -> None: ...


def connect(address: str, config: PoolConfig, credentials: grpc.ChannelCredentials | None = None) -> Channel:
    """A channel of its own for one session; ``credentials`` are for TCP, a Unix socket has its directory's mode."""
    if h2grpc is None or config.grpc_engine == "grpcio" or credentials is not None:
        return _grpcio(address, config, credentials)
    is_local = address.startswith("unix:")
    limits = replace(
        h2grpc.CLIENT_LIMITS,
        max_receive_message=config.max_message_bytes,
        max_send_message=config.max_message_bytes,
        # A host that vanishes says nothing; only an unanswered ping tells.
        keepalive=None if is_local else config.keepalive_ms / 1000,
        keepalive_timeout=config.keepalive_ms / 1000,
    )
    return h2grpc.insecure_channel(
        address,
        # Retries and back-off are the pool's.
        config=h2grpc.ChannelConfig(limits=limits, max_replay=0, connect_timeout=config.connect_timeout_ms / 1000),
    )


async def describe(channel: Channel, timeout: float) -> wire.Description:  # noqa: ASYNC109  # gRPC's own
    """Answers when the model is loaded; fails at once where nobody listens."""
    call = channel.unary_unary(
        f"{SERVICE}/Describe",
        request_serializer=wire.DescribeRequest.SerializeToString,
        response_deserializer=wire.Description.FromString,
    )
    description: wire.Description = await call(wire.DescribeRequest(), timeout=timeout)
    return description


def open_stream(channel: Channel) -> Stream:
    stream: Stream = channel.stream_stream(f"{SERVICE}/Score")()
    return stream


def _grpcio(address: str, config: PoolConfig, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    options: list[tuple[str, int]] = [
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        # A channel that shares connections would share gRPC's back-off too.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.min_reconnect_backoff_ms", config.connect_timeout_ms),
    ]
    if address.startswith("unix:"):
        return grpc.aio.insecure_channel(address, options=options)
    options += [("grpc.keepalive_time_ms", config.keepalive_ms), ("grpc.keepalive_timeout_ms", config.keepalive_ms)]
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=options)
