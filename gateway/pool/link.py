"""
The connection to one worker, made again whenever it breaks, and the one stream of batches on it.

A writer task empties the queue of messages, because gRPC allows one outstanding write; a reader task hands what comes
to the channel. h2grpc offers a shortcut past both. After a stream has ended the next connection is tried after a
jittered back-off.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from google.protobuf.message import DecodeError

from gateway.core.deadline import Clock
from gateway.core.description import Description
from gateway.core.errors import WorkerFailed
from gateway.pool.backoff import Backoff
from gateway.pool.channel import FROM_WIRE, ChannelState, WorkerChannel
from gateway.pool.codec import description_of
from gateway.pool.config import PoolConfig
from gateway.pool.transport import RPC_ERRORS, Stream, connect, describe, open_stream
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["Link"]

log = structlog.get_logger()


class Link:
    """
    ``run`` owns the connection until it is cancelled. ``on_description`` raises ``WorkerFailed`` for a worker that is
    not wanted.
    """

    def __init__(
        self,
        channel: WorkerChannel,
        config: PoolConfig,
        *,
        clock: Clock,
        random: Callable[[], float],
        on_description: Callable[[WorkerChannel, Description], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._channel = channel
        self._config = config
        self._clock = clock
        self._on_description = on_description
        self._tls = tls
        self._backoff = Backoff(config.min_backoff_ms / 1000, config.max_backoff_ms / 1000, random)
        self._outbox: deque[bytes] = deque()
        self._outbox_filled: asyncio.Future[None] | None = None
        self._write_nowait: Callable[[bytes], bool] = _never
        """Sends a message at once if that takes no waiting: saves a lone batch a turn of the loop."""
        self._last_reason = ""
        self._broken: asyncio.Future[str] | None = None

    async def run(self) -> None:
        """Keep a stream to the worker, for ever; cancel it to end."""
        while True:
            try:
                reason = await self._session()
            except RPC_ERRORS as error:
                reason = _told(error)
            except TimeoutError:
                reason = "no answer in time"
            except (WorkerFailed, DecodeError, asyncio.InvalidStateError) as error:
                reason = str(error)
            if reason != self._last_reason:
                # Before its first word it is simply not up yet.
                tell = log.debug if self._channel.description is None else log.info
                tell("pool.disconnected", worker=self._channel.address, reason=reason)
                self._last_reason = reason
            await asyncio.sleep(self._backoff.delay())

    async def _session(self) -> str:
        """From one connection to its end; why it ended."""
        config, worker = self._config, self._channel
        async with connect(worker.address, config, self._tls) as channel:
            description = description_of(await describe(channel, config.load_timeout_ms / 1000))
            stream = open_stream(channel)
            async with asyncio.timeout(config.connect_timeout_ms / 1000):
                first = await stream.read()
            if not isinstance(first, bytes):
                return "the stream ended before it began"
            reply = wire.Reply.FromString(first)
            if reply.state not in FROM_WIRE:
                return "the first reply was not a state"
            self._on_description(worker, description)
            worker.describe(description)
            return await self._serve(stream, FROM_WIRE[reply.state])

    async def _serve(self, stream: Stream, state: ChannelState) -> str:
        loop, channel = asyncio.get_running_loop(), self._channel
        self._outbox.clear()
        broken = self._broken = loop.create_future()
        # h2grpc offers two shortcuts past the tasks; grpc.aio has neither.
        self._write_nowait = getattr(stream, "write_nowait", _never)
        tasks = [loop.create_task(self._write(stream)), loop.create_task(self._read(stream))]
        self._last_reason = ""
        began = self._clock()
        log.info("pool.connected", worker=channel.address, restarts=channel.restarts)
        channel.begin(state, self._put, self._give_up)
        if (listen := getattr(stream, "listen", None)) is not None:
            listen(channel.on_message)
        reason = "closed"
        try:
            await asyncio.wait([broken, *tasks], return_when=asyncio.FIRST_COMPLETED)
            reason = broken.result() if broken.done() else _reason(tasks)
        finally:
            if channel.has_answered or self._clock() - began > self._config.max_backoff_ms / 1000:
                self._backoff.reset()  # it was no crash at start
            self._broken = None
            self._write_nowait = _never
            channel.lose(reason)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return reason

    def _put(self, message: bytes) -> None:
        if self._outbox or not self._write_nowait(message):
            self._outbox.append(message)
            filled = self._outbox_filled
            if filled is not None and not filled.done():
                filled.set_result(None)

    def _give_up(self, reason: str) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(reason)

    async def _write(self, stream: Stream) -> None:
        outbox = self._outbox
        loop = asyncio.get_running_loop()
        while True:
            while outbox:
                await stream.write(outbox.popleft())
            self._outbox_filled = loop.create_future()
            await self._outbox_filled

    async def _read(self, stream: Stream) -> None:
        while True:
            message = await stream.read()
            if not isinstance(message, bytes):  # EOF
                return
            self._channel.on_message(message)


def _never(message: bytes) -> bool:  # noqa: ARG001
    """The ``write_nowait`` of an engine that has none, and of no connection."""
    return False


def _told(error: Any) -> str:
    """What either engine's error says."""
    return f"{error.code().name}: {error.details()}"


def _reason(tasks: list[asyncio.Task[None]]) -> str:
    """Why the stream's tasks ended, the reader's word first."""
    for task in reversed(tasks):
        if not task.done() or task.cancelled():
            continue
        error = task.exception()
        if isinstance(error, RPC_ERRORS):
            return _told(error)
        if error is not None:
            return f"{type(error).__name__}: {error}"
    return "the stream ended"
