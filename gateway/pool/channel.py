"""
One worker, as the gateway sees it: a connection that is made again whenever it breaks, and one stream of batches.

``send`` never waits: it takes a place, queues the message and gives a future back. A writer task empties that queue,
because gRPC allows one outstanding write; a reader task matches replies by number. When the stream ends for whatever
reason (the worker died, hung past a batch's deadline and grace, or spoke nonsense), every batch it had fails with
``WorkerLost`` at once, and the next connection is tried after a jittered back-off.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

import structlog
from google.protobuf.message import DecodeError

from gateway.core.deadline import Clock, Deadline, left_ms
from gateway.core.description import Description
from gateway.core.errors import WorkerFailed
from gateway.core.rows import Layout, Rows
from gateway.core.scoring import Scored, WorkerLost
from gateway.pool.backoff import Backoff
from gateway.pool.breaker import Breaker, BreakerState
from gateway.pool.codec import Refused, description_of, encode_batch, failure_of, scored_of
from gateway.pool.config import PoolConfig
from gateway.pool.flight import Flight, Outstanding
from gateway.pool.prefetch import Prefetch
from gateway.pool.transport import RPC_ERRORS, Stream, connect, describe, open_stream
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["ChannelState", "WorkerChannel"]

log = structlog.get_logger()


class ChannelState(Enum):
    CONNECTING = "connecting"
    """No stream yet: nobody listens, or the model is loading."""
    READY = "ready"
    RESTING = "resting"
    """Answers what it has and takes no more until it is ready again."""
    DRAINING = "draining"
    """Answers what it has, then leaves."""
    LOST = "lost"
    """Had a stream; waiting to try again."""


FROM_WIRE = {
    wire.READY: ChannelState.READY,
    wire.RESTING: ChannelState.RESTING,
    wire.DRAINING: ChannelState.DRAINING,
}


class WorkerChannel:
    """``run`` owns the connection until it is cancelled; everything else is called on the same loop."""

    def __init__(
        self,
        address: str,
        config: PoolConfig,
        *,
        clock: Clock,
        random: Callable[[], float],
        on_change: Callable[[], None],
        on_description: Callable[[WorkerChannel, Description], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.state = ChannelState.CONNECTING
        self.description: Description | None = None
        self.restarts = 0
        """How often another process was found at the address than the last time."""
        self.lost_at: float | None = None
        """When it last stopped taking batches for more than a rest."""
        self._config = config
        self._clock = clock
        self._on_change = on_change
        self._on_description = on_description
        self._tls = tls
        self._backoff = Backoff(config.min_backoff_ms / 1000, config.max_backoff_ms / 1000, random)
        self.breaker = Breaker(
            config.breaker_failures, config.breaker_open_ms / 1000, config.breaker_max_open_ms / 1000
        )
        self._flight = Flight()
        self._prefetch = Prefetch(on_change)
        self._outbox: deque[bytes] = deque()
        self._outbox_filled: asyncio.Future[None] | None = None
        self._write_nowait: Callable[[bytes], bool] = _never
        """Sends a message at once if that takes no waiting: saves a lone batch a turn of the loop."""
        self._last_reason = ""
        self._broken: asyncio.Future[str] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._watch_at = 0.0
        self._inputs = self._outputs = Layout.of(())

    @property
    def is_open(self) -> bool:
        """Whether it takes batches at all."""
        return self.state is ChannelState.READY and self._most_batches() > 0

    @property
    def is_connected(self) -> bool:
        return self.state not in (ChannelState.CONNECTING, ChannelState.LOST)

    @property
    def places(self) -> int:
        """Batches that it takes now; negative when it was given more than that."""
        spare = self.spare
        return spare if spare <= 0 or self._prefetch.is_open else 0

    @property
    def spare(self) -> int:
        """The same, and batches that it could take ahead of their time."""
        return self._most_batches() - len(self._flight) if self.state is ChannelState.READY else 0

    @property
    def rows_in_flight(self) -> int:
        return self._flight.rows

    @property
    def batches_in_flight(self) -> int:
        return len(self._flight)

    def takes(self, layout: Layout) -> bool:
        """Whether rows of this layout are what its model takes; they are not after it was replaced by another."""
        inputs = self._inputs
        return layout is inputs or not inputs.is_resolved or layout.columns == inputs.columns

    def send(self, rows: Rows, deadline: Deadline) -> asyncio.Future[Scored]:
        """Only while ``is_open``. The future fails with ``Refused`` when the worker would not take the batch."""
        now = self._clock()
        loop = asyncio.get_running_loop()
        overdue_at = deadline + self._config.hang_grace_ms / 1000
        batch = Outstanding(rows.count, overdue_at, loop.create_future())
        number = self._flight.add(batch)
        if len(self._flight) == 1:
            self._prefetch.begins()
        message = encode_batch(number, rows, max(1, left_ms(deadline, now)), self._inputs.is_resolved)
        if self._outbox or not self._write_nowait(message):
            self._outbox.append(message)
            filled = self._outbox_filled
            if filled is not None and not filled.done():
                filled.set_result(None)
        if self._watch is None or overdue_at < self._watch_at:
            self._set_watch(loop, overdue_at, now)
        return batch.reply

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
            if self.state is not ChannelState.LOST:
                self.state = ChannelState.CONNECTING
            if reason != self._last_reason:
                # Before its first word it is simply not up yet.
                tell = log.debug if self.description is None else log.info
                tell("pool.disconnected", worker=self.address, reason=reason)
                self._last_reason = reason
            await asyncio.sleep(self._backoff.delay())

    async def _session(self) -> str:
        """From one connection to its end; why it ended."""
        config = self._config
        async with connect(self.address, config, self._tls) as channel:
            description = description_of(await describe(channel, config.load_timeout_ms / 1000))
            stream = open_stream(channel)
            async with asyncio.timeout(config.connect_timeout_ms / 1000):
                first = await stream.read()
            if not isinstance(first, bytes):
                return "the stream ended before it began"
            reply = wire.Reply.FromString(first)
            if reply.state not in FROM_WIRE:
                return "the first reply was not a state"
            self._on_described(description)
            return await self._serve(stream, FROM_WIRE[reply.state])

    def _on_described(self, description: Description) -> None:
        before = self.description
        self._on_description(self, description)
        self.restarts += before is not None and before.pid != description.pid
        self.description = description
        self._inputs = Layout.of(description.signature.inputs)
        self._outputs = Layout.of(description.signature.outputs)

    async def _serve(self, stream: Stream, state: ChannelState) -> str:
        loop = asyncio.get_running_loop()
        self._outbox.clear()
        broken = self._broken = loop.create_future()
        # h2grpc offers two shortcuts past the tasks; grpc.aio has neither.
        self._write_nowait = getattr(stream, "write_nowait", _never)
        if (listen := getattr(stream, "listen", None)) is not None:
            listen(self._on_message)
        tasks = [loop.create_task(self._write(stream)), loop.create_task(self._read(stream))]
        self._last_reason = ""
        began = self._clock()
        self._enter(state)
        log.info("pool.connected", worker=self.address, restarts=self.restarts)
        self._on_change()
        reason = "closed"
        try:
            await asyncio.wait([broken, *tasks], return_when=asyncio.FIRST_COMPLETED)
            reason = broken.result() if broken.done() else _reason(tasks)
        finally:
            if self._clock() - began > self._config.max_backoff_ms / 1000:
                self._backoff.reset()  # it was no crash at start
            self._lose(reason)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return reason

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
            self._on_message(message)

    def _on_message(self, message: bytes) -> None:
        """Never raises: nonsense ends the session."""
        try:
            reply = wire.Reply.FromString(message)
        except DecodeError as error:
            if self._broken is not None and not self._broken.done():
                self._broken.set_result(f"nonsense: {error}")
            return
        if reply.id:
            self._on_reply(reply)
        if reply.state:
            self._enter(FROM_WIRE.get(reply.state, self.state))
            self._on_change()

    def _on_reply(self, reply: wire.Reply) -> None:
        batch = self._flight.land(reply.id)
        if batch is None:
            log.warning("pool.reply_to_nobody", worker=self.address)
            return
        if len(self._flight):
            self._prefetch.begins()  # the next one, which was there already
        else:
            self._prefetch.ends()
        error: WorkerFailed | Exception | None = None
        scored: Scored | None = None
        try:
            if reply.HasField("failure"):
                error = failure_of(reply.failure, self.address)
            else:
                scored = scored_of(reply, batch.rows, self._outputs, self.address)
                self._prefetch.computed(scored.compute)
        except WorkerFailed as nonsense:
            error = nonsense
        if isinstance(error, Refused):
            self._enter(ChannelState.DRAINING)  # it says so itself as well, but this came first
        elif isinstance(error, WorkerFailed):
            log.warning("pool.worker_failed", worker=self.address, reason=str(error))
            self._count_failure()
        else:
            self.breaker.succeeded()
            self._backoff.reset()
        if not batch.reply.done():
            if scored is not None:
                batch.reply.set_result(scored)
            elif error is not None:
                batch.reply.set_exception(error)
        self._on_change()

    def _lose(self, reason: str) -> None:
        """The stream is over: tell everybody who waits, at once."""
        was_draining = self.state is ChannelState.DRAINING
        self._enter(ChannelState.LOST)
        self._broken = None
        self._write_nowait = _never
        self._prefetch.ends()
        # The reason may name paths and hosts: it is for the log, not for a caller.
        batches = self._flight.lose(lambda: WorkerLost("the worker was lost before it answered", self.address))
        if batches:
            log.warning("pool.worker_lost", worker=self.address, batches=batches, reason=reason)
            if not was_draining:
                self._count_failure()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._on_change()

    def _enter(self, state: ChannelState) -> None:
        if state in (ChannelState.DRAINING, ChannelState.LOST) and self.state is not state:
            self.lost_at = self._clock()
            # "Soon" ends at some time, and somebody may be waiting for nothing then.
            asyncio.get_running_loop().call_later(self._config.soon_ms / 1000, self._on_change)
        self.state = state

    def _count_failure(self) -> None:
        now = self._clock()
        if self.breaker.failed(now):
            log.warning("pool.breaker_opened", worker=self.address)
            asyncio.get_running_loop().call_later(max(0.001, self.breaker.open_until - now), self._on_half_open)

    def _on_half_open(self) -> None:
        now = self._clock()
        if self.breaker.state is BreakerState.OPEN and now < self.breaker.open_until:
            asyncio.get_running_loop().call_later(max(0.001, self.breaker.open_until - now), self._on_half_open)
        else:
            self._on_change()

    def _most_batches(self) -> int:
        most = self._config.batches_in_flight
        if self.breaker.state is BreakerState.CLOSED:
            return most
        return self.breaker.batches(self._clock(), most)

    def _set_watch(self, loop: asyncio.AbstractEventLoop, at: float, now: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch_at = at
        self._watch = loop.call_later(max(0.001, at - now), self._look_for_hang)

    def _look_for_hang(self) -> None:
        self._watch = None
        now = self._clock()
        at = self._flight.overdue_at
        if at is None:
            return
        if at > now:
            self._set_watch(asyncio.get_running_loop(), at, now)
        elif self._broken is not None and not self._broken.done():
            self._broken.set_result("no answer long after the deadline")


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
