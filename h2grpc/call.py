"""
One call as its connection sees it: where both directions stand, and what is held for it.

Without slots on purpose: most calls never touch most attributes, and a default of the class costs nothing to set. And
without ``__init__``, which takes longer than what it would do: whoever makes a call sets what has no default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from h2grpc.call_state import MOVES, CallStateError, Move, State
from h2grpc.framing import MessageReader

__all__ = ["Call"]


class Call:
    """Belongs to its connection; a driver reads it."""

    stream_id: int
    path: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    receiving = State.IDLE
    sending = State.IDLE
    reader: MessageReader | None = None
    """None while nothing is incomplete, which for small messages is for ever."""
    deadline: float | None = None
    encoding = "identity"
    """What the peer compresses with."""
    compression: str | None = None
    """What we compress with; None for not at all."""
    unread = 0
    """Bytes of messages that the reader has not taken."""
    unacknowledged = 0
    """Bytes for which the peer's window was not opened again."""
    charged = 0
    """Bytes counted against the limit of all connections."""
    message: bytes | None = None
    """Server: all that the caller sends, where it came together with the headers; no event tells of it then."""
    is_stream = False
    """Whether the peer may take its time between messages."""
    owner: Any = None
    """Client: the driver's own object."""
    listener: Callable[[bytes], None] | None = None
    """Client: who takes every message in the turn in which it comes; what it takes at once is not counted as unread."""

    @property
    def holds(self) -> int:
        return self.unread if self.reader is None else self.unread + self.reader.held

    def send(self, move: Move) -> None:
        state = MOVES[self.sending][move]
        if state is None:
            raise CallStateError(f"{move.name} in {self.sending.name}")
        self.sending = state

    def receive(self, move: Move) -> None:
        state = MOVES[self.receiving][move]
        if state is None:
            raise CallStateError(f"{move.name} in {self.receiving.name}")
        self.receiving = state
