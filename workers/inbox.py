"""
The batches that wait for the model: filled by the server's thread, emptied by the model's.

Bounded: the gateways already limit how many rows each has in flight here, so a full inbox means that one of them
broke that rule, and its batch is refused rather than queued without end.
"""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Protocol

from workers.runtimes.base import Batch
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["Inbox", "Job", "ReplyTo"]


class ReplyTo(Protocol):
    """The stream that a batch came on."""

    is_closed: bool
    """Nobody reads replies any more: its batches need not be scored."""

    def post(self, reply: wire.Reply) -> None:
        """Send ``reply``; from any thread, never blocks."""
        ...


@dataclass(slots=True)
class Job:
    """One accepted batch. Plain rather than frozen: one is made a batch."""

    id: int
    batch: Batch
    stream: ReplyTo
    deadline: float | None
    """When its last caller gives up: seconds on the monotonic clock; None: never."""


class Inbox:
    """A queue between two threads that can be closed."""

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = Lock()
        self._is_closed = False

    def put(self, job: Job) -> bool:
        """Queue ``job``; False when the inbox is full or closed."""
        with self._lock:
            if self._is_closed or self._queue.qsize() >= self._limit:
                return False
            self._queue.put(job)
            return True

    def take(self, timeout: float | None = None) -> Job | None:
        """The next job; None after ``timeout`` seconds, or when woken up."""
        if timeout is None:
            return self._queue.get()
        try:
            return self._queue.get(timeout=timeout) if timeout > 0 else self._queue.get_nowait()
        except Empty:
            return None

    def wake(self) -> None:
        """Let ``take`` return None if it waits."""
        self._queue.put(None)

    def close(self) -> list[Job]:
        """Accept no more; what was still queued."""
        with self._lock:
            self._is_closed = True
        left: list[Job] = []
        while True:
            try:
                job = self._queue.get_nowait()
            except Empty:
                return left
            if job is not None:
                left.append(job)

    @property
    def is_empty(self) -> bool:
        return self._queue.empty()
