"""What a channel is set to; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["ChannelConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    max_receive_message: int = 4 << 20
    """Bytes of one message, before and after decompression."""
    max_metadata: int = 16 << 10
    """Bytes of one call's metadata in one direction, as HTTP/2 counts them."""
    max_waiting: int = 10_000
    """Calls that wait for a connection, or for the server's limit on streams; more fail at once."""
    max_unsent: int = 64 << 10
    """Bytes of one call that wait for the server before ``await write`` waits."""
    max_unread: int = 64 << 10
    """Bytes of whole messages that one call holds for its reader before the server has to wait."""
    stream_window: int = 1 << 20
    """Bytes that the server may send on one call ahead of its reader."""
    connection_window: int = 16 << 20
    max_replay: int = 64 << 10
    """Bytes of requests kept for sending again when the server says that it did not look at the call."""
    connect_timeout: float = 10.0
    """For TCP, TLS and the server's first settings together."""
    min_backoff: float = 0.05
    max_backoff: float = 10.0
    keepalive: float | None = None
    """Silence after which the server is asked whether it is there, while calls are open; grpcio refuses less than 300."""
    keepalive_timeout: float = 20.0
    user_agent: str = "h2grpc"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value <= 0:
                raise ValueError(f"{field.name} must be more than 0")
        if self.stream_window < 65_535 or self.connection_window < self.stream_window:
            raise ValueError("stream_window must be at least 65535, and connection_window at least that")
