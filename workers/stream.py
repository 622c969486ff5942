"""
The replies of one gateway's stream of batches, on their way from the model's thread to the wire.

What is finished while the loop is busy comes back with one ``call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from google.protobuf.message import EncodeError

from workers.wire.v1 import worker_pb2 as wire

__all__ = ["Stream"]


class Stream:
    """
    One Score call: replies that leave at once, or wait for its handler. All of it on the loop's thread but ``post``.

    ``write_nowait`` sends a reply if that takes no waiting.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, write_nowait: Callable[[wire.Reply], bool]) -> None:
        self._loop, self._write_nowait = loop, write_nowait
        self._posted: deque[wire.Reply] = deque()
        """From another thread, on their way to this one."""
        self._is_told = False
        """The loop is going to look at them."""
        self._replies: deque[wire.Reply] = deque()
        """For the handler."""
        self._waiter: asyncio.Future[None] | None = None
        self._is_finished = False
        self.is_closed = False
        self.unanswered = 0
        """Batches in the inbox or the model."""

    def post(self, reply: wire.Reply) -> None:
        self._posted.append(reply)
        if self._is_told:  # it was not yet when the reply was put there, so it will find it
            return
        self._is_told = True
        try:
            self._loop.call_soon_threadsafe(self._take_posted)
        except RuntimeError:  # the loop has gone, and the stream with it
            self._posted.clear()

    def answer(self, reply: wire.Reply) -> None:
        """Send the reply to one accepted batch."""
        self.unanswered -= 1
        self.send(reply)

    def send(self, reply: wire.Reply) -> None:
        try:
            is_sent = not self._replies and self._write_nowait(reply)
        except EncodeError:
            is_sent = False  # the handler fails of it
        if not is_sent:
            self._replies.append(reply)
        elif not self._is_finished:
            return
        self._wake()

    def finish(self) -> None:
        """End once everything accepted is answered."""
        self._is_finished = True
        self._wake()

    def close(self) -> None:
        """Nobody reads any more."""
        self.is_closed = True
        self._replies.clear()

    async def next(self) -> wire.Reply | None:
        """The next reply; None once finished."""
        while not self._replies:
            if self._is_finished and self.unanswered == 0:
                return None
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._replies.popleft()

    def _take_posted(self) -> None:
        self._is_told = False  # before looking: whoever posts from here on tells again
        posted = self._posted
        while posted:
            self.answer(posted.popleft())

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
