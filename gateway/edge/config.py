"""What an operator may set about the public listeners."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from gateway.core.bounds import DAY_MS, INT32, MOST_CALLS, TIB, expect_within
from gateway.edge.cors import is_origin
from gateway.edge.status import Personality
from gateway.edge.tls import TlsConfig

__all__ = ["EdgeConfig", "GrpcEngineName", "HttpEngineName", "Plaintext"]

HttpEngineName: TypeAlias = Literal["httptools", "aiohttp"]
GrpcEngineName: TypeAlias = Literal["h2grpc", "grpcio"]
Plaintext: TypeAlias = Literal["none", "loopback", "anywhere"]


class EdgeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses and limits of the edge. A limit is what one gateway process allows."""

    host: str = "0.0.0.0"  # noqa: S104  # serving others is the point
    http_port: int = 8443
    grpc_port: int = 8444
    tls: TlsConfig = TlsConfig()
    """Of both ports."""
    plaintext: Plaintext = "none"
    """Whether HTTP and gRPC are served without TLS too, and to whom: this machine, or whoever reaches ``host``."""
    plaintext_port: int | None = None
    """Where; gRPC only with h2grpc."""
    http_engine: HttpEngineName = "httptools"
    """What speaks HTTP/1.1: a lean engine on llhttp, or aiohttp."""
    grpc_engine: GrpcEngineName = "h2grpc"
    """What speaks gRPC; with h2grpc the HTTP port takes HTTP/2 too. Where ngh2 cannot be had, grpcio is used."""
    personality: Personality = "managed"
    """Whose status codes ``/score`` speaks: a managed or Kubernetes endpoint's, or azmlinfsrv's."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Of one request, as sent and again after decompression."""
    max_header_bytes: int = 16 * 1024
    """Of the request line, and of one header."""
    body_timeout_ms: int = 60_000
    """How long a body may take to arrive, and an answer to be taken."""
    idle_timeout_ms: int = 75_000
    """How long a connection may be without a request, and headers may take to arrive: longer than a load balancer's."""
    max_in_flight: int = 4096
    """Requests being answered; the next is refused."""
    max_in_flight_bytes: int = 512 * 1024 * 1024
    """Bodies of those requests together; and as much again of HTTP/1.1 bodies that are still arriving."""
    server_timing: bool = True
    """Whether answers say how long each stage took."""
    backlog: int = 1024
    """Connections that the kernel keeps until they are accepted."""
    max_connections_per_address: int = 0
    """Of HTTP/1.1, and as many of HTTP/2; of IPv6 the first 64 bits are one address. 0: any number. Not with grpcio."""
    cors_origins: list[str] = []
    """Pages of which origins may call from a browser, such as ``https://app.example.org``."""

    def __post_init__(self) -> None:
        expect_within(self, 0, 65535, "http_port", "grpc_port", "plaintext_port")
        if (self.plaintext == "none") != (self.plaintext_port is None):
            raise ValueError(
                "plaintext_port: expected a port, because plaintext is asked for"
                if self.plaintext_port is None
                else "plaintext: expected loopback or anywhere, because a plaintext_port is given"
            )
        expect_within(self, 1024, 2**20, "max_header_bytes")
        expect_within(self, 1, INT32, "max_body_bytes")
        expect_within(self, 1, TIB, "max_in_flight_bytes")
        expect_within(self, 1, DAY_MS, "body_timeout_ms", "idle_timeout_ms")
        expect_within(self, 1, MOST_CALLS, "max_in_flight")
        expect_within(self, 1, 65535, "backlog")
        expect_within(self, 0, MOST_CALLS, "max_connections_per_address")
        for origin in self.cors_origins:
            if not is_origin(origin):
                raise ValueError(f'cors_origins: expected origins such as https://app.example.org, got "{origin}"')
