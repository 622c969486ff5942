"""
What the floor's gateway and its worker tell each other: batches of rows on one HTTP/2 stream, each a message with the
five bytes of gRPC before it, as between Lockgate and its workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

__all__ = ["BATCH", "SCORED", "Messages"]

BATCH = Struct("<II")
"""To the worker: number of the batch, rows; the rows follow as 32-bit floats."""

SCORED = Struct("<IId")
"""From the worker: number of the batch, rows, seconds of compute; the outputs follow likewise."""

_HEAD = 5
"""Bytes before each message: whether it is compressed, and its length (4)."""


class Messages:
    """Cuts what arrives on the stream into whole messages."""

    def __init__(self) -> None:
        self._data = b""

    def cut(self, data: bytes) -> Iterator[bytes]:
        """Those that ``data`` completes."""
        self._data += data
        while len(self._data) >= _HEAD:
            end = _HEAD + int.from_bytes(self._data[1:_HEAD], "big")
            if len(self._data) < end:
                return
            message, self._data = self._data[_HEAD:end], self._data[end:]
            yield message
