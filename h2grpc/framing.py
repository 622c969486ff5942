"""
gRPC messages on a stream of bytes: one flag, four bytes of length, the message.

Chunks arrive with arbitrary borders. A reader keeps only what is incomplete, copies every byte a fixed number of times
however small the chunks are, and refuses a message by its announced length, before the bytes are there.
"""

from __future__ import annotations

import struct
from typing import Final

from h2grpc.errors import BadMessage, MessageTooLarge

__all__ = ["HEAD", "MessageReader", "frame", "head_of", "new_head"]

HEAD: Final = 5
"""Bytes before each message."""

new_head = struct.Struct(">BI").pack
"""Of a flag and a length."""
head_of = struct.Struct(">BI").unpack_from
"""Flag and length, out of bytes and where they begin."""


def frame(message: bytes, compressed: bool = False) -> bytes:
    """``compressed`` says that ``message`` is, as the stream's grpc-encoding names; it is not done here."""
    return new_head(compressed, len(message)) + message


class MessageReader:
    """Whole messages out of one direction of one stream; of no use after it raised."""

    __slots__ = ("_held", "_limit", "_needed", "held")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0
        """Bytes kept for a message that is not complete."""
        self._held = bytearray()
        self._needed = HEAD
        """How long the held bytes must be before looking at them again is worth it."""

    def feed(self, chunk: bytes) -> list[tuple[bool, bytes]]:
        """
        The messages that are now complete, each with whether it is compressed.

        ``MessageTooLarge`` or ``BadMessage`` fails the stream: what came before in the same chunk is given up with it.
        """
        held = self._held
        if not held:
            messages = self._take(chunk)
        else:
            held += chunk
            self.held = len(held)
            messages = [] if self.held < self._needed else self._take_held()
        self.held = len(self._held)
        return messages

    def finish(self) -> None:
        """The stream ended: ``BadMessage`` if it did so inside a message."""
        if self._held:
            raise BadMessage("the stream ended inside a message")

    def _take(self, chunk: bytes) -> list[tuple[bool, bytes]]:
        """Nothing is held, so messages are cut straight out of the chunk."""
        messages = []
        at, end = 0, len(chunk)
        while end - at >= HEAD:
            flag, size = head_of(chunk, at)
            if flag > 1 or size > self._limit:
                raise self._refusal(flag, size)
            stop = at + HEAD + size
            if stop > end:
                self._needed = HEAD + size
                break
            messages.append((flag == 1, chunk[at + HEAD : stop]))
            at = stop
        else:
            self._needed = HEAD
        if at < end:
            self._held += chunk[at:] if at else chunk
        return messages

    def _take_held(self) -> list[tuple[bool, bytes]]:
        held = self._held
        messages = []
        at, end = 0, len(held)
        needed = HEAD
        while end - at >= HEAD:
            flag, size = head_of(held, at)
            if flag > 1 or size > self._limit:
                raise self._refusal(flag, size)
            stop = at + HEAD + size
            if stop > end:
                needed = HEAD + size
                break
            with memoryview(held) as view:
                messages.append((flag == 1, bytes(view[at + HEAD : stop])))
            at = stop
        self._needed = needed
        if at == end:
            self._held = bytearray()  # also gives a large buffer back
        elif at:
            del held[:at]
        return messages

    def _refusal(self, flag: int, size: int) -> BadMessage | MessageTooLarge:
        if flag > 1:
            return BadMessage("the byte before a message is neither 0 nor 1")
        return MessageTooLarge(f"a message of {size} bytes; the limit is {self._limit}")
