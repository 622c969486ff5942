"""
How much one peer may cost, and how long it may be quiet.

Everything that a peer can make us hold or do is bounded here. Where nghttp2 has a limit of its own it gets the number
and keeps it; the rest is kept by ``h2grpc.protocol``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import ngh2

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one connection, unless it says otherwise."""

    max_receive_message: int = 4 << 20
    """Bytes of one message, before and after decompression."""
    max_send_message: int | None = None
    max_metadata: int = 16 << 10
    """Bytes of one call's headers as HTTP/2 counts them; more fails the call, four times as much the connection."""
    max_streams: int = 10_000
    """Calls at once; more are refused, and a peer that goes on after having been told loses its connection."""

    stream_window: int = 256 << 10
    """Bytes that one call may send while its handler does not read."""
    connection_window: int = 16 << 20
    """Bytes that all calls together may send while no handler reads."""
    max_unread: int = 64 << 10
    """Bytes of whole messages that wait for one handler before its stream's window stays shut."""
    max_held: int = 512 << 20
    """Bytes of incomplete and unread messages of *all* connections of one server; the call that exceeds it fails."""
    max_unsent: int = 64 << 10
    """Bytes that wait for one slow reader before ``await write`` waits."""
    max_unsent_in_all: int = 8 << 20
    """The same for all calls of the connection."""
    write_chunk: int = 256 << 10
    """Bytes given to the transport at a time, so that it can say that it is full."""

    handshake: float = 10.0
    """Seconds from accepting until the peer's first SETTINGS."""
    stalled: float | None = 60.0
    """Seconds in which a peer that we have something for must take at least one byte of it."""
    request_timeout: float | None = None
    """Seconds for a request to arrive whole, if it is no gRPC or of a method that takes one message."""
    answer_timeout: float | None = None
    """Seconds for a peer to take the whole of an answer, once all of it is there."""
    linger: float = 5.0
    """Seconds for a peer to take the last bytes of a connection that has ended."""
    max_idle: float | None = None
    """Seconds without a call, after which the connection is asked to leave."""
    max_age: float | None = None
    """Seconds after which the connection is asked to leave, however busy it is."""
    max_age_grace: float | None = None
    """Seconds that calls may go on then; None: as long as they like."""
    keepalive: float | None = 60.0
    """Seconds of silence after which we ask whether the peer is there."""
    keepalive_timeout: float = 20.0
    """Seconds in which it must then say anything at all."""

    resets: tuple[int, float] = (1_000, 100)
    """
    Calls cancelled by the peer: how many at once, and how many a second for ever. So for the others below.

    Each call that is answered makes up for one, so that a busy client may cancel as many as it lets be.
    """
    pings: tuple[int, float] = (100, 1)
    """Without anything of ours having been sent in between."""
    settings: tuple[int, float] = (20, 1)
    empty_frames: tuple[int, float] = (1_000, 100)
    """DATA that carries nothing and ends nothing."""
    window_updates: tuple[int, float] = (10_000, 1_000)
    """Without anything of ours having been sent in between."""
    max_continuations: int = 8

    def __post_init__(self) -> None:
        if self.stream_window < 65_535 or self.connection_window < self.stream_window:
            raise ValueError("stream_window must be at least 65535, and connection_window at least that")
        if self.max_streams < 1 or self.max_metadata < 1 or self.max_receive_message < 0:
            raise ValueError("max_streams, max_metadata and max_receive_message must be positive")

    def engine(self) -> ngh2.Configuration:
        """What nghttp2 looks after, one value for all connections. The windows are opened by us, as handlers read."""
        return _engine(self)

    def settings_frame(self) -> dict[int, int]:
        return {
            ngh2.Setting.MAX_CONCURRENT_STREAMS: self.max_streams,
            ngh2.Setting.INITIAL_WINDOW_SIZE: self.stream_window,
            ngh2.Setting.MAX_HEADER_LIST_SIZE: self.max_metadata,
        }


@lru_cache(maxsize=16)
def _engine(limits: Limits) -> ngh2.Configuration:
    # The engine's count of resets also has those that answers make up for, so it is there as a last resort.
    burst, rate = limits.resets
    return ngh2.Configuration(
        auto_window_update=False,
        max_inbound_header_list_size=4 * limits.max_metadata,
        max_inbound_header_count=1_024,
        max_send_header_block_length=1 << 20,
        max_continuations=limits.max_continuations,
        stream_reset_rate_limit=(10 * int(burst), 10 * max(1, int(rate))),
    )
