"""What a channel is set to; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from h2grpc.limits import Limits

__all__ = ["CLIENT_LIMITS", "ChannelConfig"]

CLIENT_LIMITS: Final = Limits(
    stream_window=1 << 20,
    # A server need not read; the caller's deadline says how long it may take.
    stalled=None,
    # grpcio's servers take a client that asks more often than every five minutes for an attacker.
    keepalive=None,
)
"""Take ``dataclasses.replace`` of it for a channel of one's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    limits: Limits = CLIENT_LIMITS
    max_waiting: int = 10_000
    """Calls that wait for a connection, or for the server's limit on streams; more fail at once."""
    max_replay: int = 64 << 10
    """Bytes of requests kept, to be sent again if the server says that it did not look at the call."""
    connect_timeout: float = 10.0
    """For TCP, TLS and the server's first settings together."""
    min_backoff: float = 0.05
    max_backoff: float = 10.0
    user_agent: str = "h2grpc"

    def __post_init__(self) -> None:
        for name in ("max_waiting", "connect_timeout", "min_backoff"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")
        if self.max_backoff < self.min_backoff:
            raise ValueError("max_backoff must be at least min_backoff")
