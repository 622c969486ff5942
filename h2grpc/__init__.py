"""gRPC on a sans-IO HTTP/2 engine."""

from h2grpc.channel import Channel, Connectivity, insecure_channel, secure_channel
from h2grpc.channel_config import CLIENT_LIMITS, ChannelConfig
from h2grpc.context import AbortError, ServicerContext, UsageError
from h2grpc.counters import Counters
from h2grpc.interceptors import ServerInterceptor
from h2grpc.limits import Limits
from h2grpc.other import OtherAnswer, OtherRequest
from h2grpc.rpc_error import EOF, RpcError
from h2grpc.server import Server, server
from h2grpc.status import Status, status_of

__all__ = [
    "CLIENT_LIMITS",
    "EOF",
    "AbortError",
    "Channel",
    "ChannelConfig",
    "Connectivity",
    "Counters",
    "Limits",
    "OtherAnswer",
    "OtherRequest",
    "RpcError",
    "Server",
    "ServerInterceptor",
    "ServicerContext",
    "Status",
    "UsageError",
    "insecure_channel",
    "secure_channel",
    "server",
    "status_of",
]
