"""One call as its connection sees it: where both directions stand, and what is held for it."""

from __future__ import annotations

from typing import Any

from h2grpc.call_state import MOVES, CallStateError, Move, State
from h2grpc.framing import MessageReader

__all__ = ["Call"]


class Call:
    """Belongs to its connection; a driver reads it, and may keep its own object in ``owner``."""

    __slots__ = (
        "accepts",
        "charged",
        "compression",
        "deadline",
        "encoding",
        "headers",
        "owner",
        "path",
        "reader",
        "receiving",
        "sending",
        "stream_id",
        "unacknowledged",
        "unread",
    )

    def __init__(
        self, stream_id: int, path: bytes, headers: tuple[tuple[bytes, bytes], ...], max_message: int, encoding: str
    ) -> None:
        self.stream_id, self.path, self.headers = stream_id, path, headers
        self.reader = MessageReader(max_message)
        self.receiving = self.sending = State.IDLE
        self.deadline: float | None = None
        self.encoding = encoding
        """What the peer compresses with."""
        self.accepts: bytes = b""
        """What the peer can decompress, as it said."""
        self.compression: str | None = None
        """What we compress with; None for not at all."""
        self.unread = 0
        """Bytes of messages that the reader has not taken."""
        self.unacknowledged = 0
        """Bytes for which the peer's window was not opened again."""
        self.charged = 0
        self.owner: Any = None

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
