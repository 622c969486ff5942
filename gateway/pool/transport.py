"""
The gRPC channel to one worker: what it is set to, and the two calls that are made on it.

Two engines offer the same: h2grpc, which costs a tenth per message, and grpc.aio, for where ngh2 cannot be had. A
worker cannot tell them apart.
"""

from __future__ import annotations

import ssl
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

__all__ = ["RPC_ERRORS", "Channel", "Stream", "connect", "describe", "open_stream", "takes_tls"]

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


def takes_tls(config: PoolConfig) -> bool:
    """Whether ``connect`` can do TLS: grpcio has no use for Python's contexts."""
    return h2grpc is not None and config.grpc_engine == "h2grpc"


def connect(address: str, config: PoolConfig, tls: ssl.SSLContext | None = None) -> Channel:
    """
    A channel of its own for one session. ``tls`` is for TCP, and holds the certificate that the worker asks for; a Unix
    socket has its directory's mode. Only where ``takes_tls`` says so may there be one.
    """
    is_local = address.startswith("unix:")
    if h2grpc is None or not takes_tls(config):
        return _grpcio(address, config)
    limits = replace(
        h2grpc.CLIENT_LIMITS,
        max_receive_message=config.max_message_bytes,
        max_send_message=config.max_message_bytes,
        # A host that vanishes says nothing; only an unanswered ping tells.
        keepalive=None if is_local else config.keepalive_ms / 1000,
        keepalive_timeout=config.keepalive_ms / 1000,
    )
    # Retries and back-off are the pool's.
    settings = h2grpc.ChannelConfig(limits=limits, max_replay=0, connect_timeout=config.connect_timeout_ms / 1000)
    if tls is None or is_local:
        return h2grpc.insecure_channel(address, config=settings)
    return h2grpc.secure_channel(address, tls, config=settings)


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


def _grpcio(address: str, config: PoolConfig) -> grpc.aio.Channel:
    options: list[tuple[str, int]] = [
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        # A channel that shares connections would share gRPC's back-off too.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.min_reconnect_backoff_ms", config.connect_timeout_ms),
    ]
    if not address.startswith("unix:"):
        options += [("grpc.keepalive_time_ms", config.keepalive_ms), ("grpc.keepalive_timeout_ms", config.keepalive_ms)]
    return grpc.aio.insecure_channel(address, options=options)
