"""Where a channel stands with its server."""

from __future__ import annotations

from enum import Enum

__all__ = ["Connectivity"]


class Connectivity(Enum):
    """The names of ``grpc.ChannelConnectivity``."""

    IDLE = "idle"
    CONNECTING = "connecting"
    READY = "ready"
    TRANSIENT_FAILURE = "transient failure"
    SHUTDOWN = "shutdown"
