"""
The live workers of one deployment, as dispatch sees them: places, and a way to score a batch in one of them.

Connections are kept by ``run``. The first worker that describes itself speaks for the deployment; one that differs
from the others is turned away, because a row can only be laid out for one of them.
"""

from __future__ import annotations

import asyncio
import random as jitter
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from gateway.core.deadline import Clock, Deadline
from gateway.core.description import Description
from gateway.core.errors import ConfigError, DeadlineExceeded, GatewayError, NotReady, WorkerFailed
from gateway.core.rows import Rows
from gateway.core.scoring import Outcome, Scored
from gateway.pool.channel import ChannelState, WorkerChannel
from gateway.pool.config import PoolConfig
from gateway.pool.flight import Outstanding
from gateway.pool.link import Link
from gateway.pool.pick import pick, pick_again
from gateway.pool.room import Rooms
from gateway.pool.snapshot import WorkerSnapshot
from gateway.pool.transport import takes_tls

__all__ = ["Pool"]

log = structlog.get_logger()


class Pool(Rooms):
    """``gateway.core.scoring.Scorer`` over one stream per worker; the rooms of the workers keep its ``places``."""

    def __init__(
        self,
        name: str,
        addresses: Sequence[str],
        config: PoolConfig,
        *,
        on_description: Callable[[Description], None] | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Clock = time.monotonic,
        random: Callable[[], float] = jitter.random,
    ) -> None:
        super().__init__()
        self.name = name
        """``endpoint/deployment``, for logs and messages."""
        self._config = config
        self._clock = clock
        self._publish = on_description
        self._callbacks: tuple[Callable[[], None], ...] = ()
        self._observers: tuple[Callable[[], None], ...] = ()
        self._turn = 0
        self._stop: asyncio.Event | None = None
        self._ended: asyncio.Event | None = None
        self.description: Description | None = None
        """What was published last; None until a worker has loaded the model."""
        if tls is not None and not takes_tls(config):
            raise ConfigError("pool.grpc_engine", "expected h2grpc, and ngh2 installed, for TLS to workers")
        self._channels = [
            WorkerChannel(
                address,
                config,
                self,
                clock=clock,
                on_place=self._on_place,
                on_change=self._on_change,
                on_refused=self._on_refused,
            )
            for address in addresses
        ]
        self._only = self._channels[0] if len(self._channels) == 1 else None
        """No choice, as good as always where a model needs no more workers."""
        self._links = [
            Link(channel, config, clock=clock, random=random, on_description=self._on_description, tls=tls)
            for channel in self._channels
        ]

    @property
    def is_ready(self) -> bool:
        """True also shortly after the last worker was lost, because its restart takes milliseconds."""
        return self.open > 0 or any(self._is_back_soon(channel) for channel in self._channels)

    def on_place(self, callback: Callable[[], None]) -> None:
        self._callbacks += (callback,)

    def off_place(self, callback: Callable[[], None]) -> None:
        self._callbacks = tuple(other for other in self._callbacks if other != callback)

    def on_change(self, callback: Callable[[], None]) -> None:
        """The same for who does not want to hear of every answer, which changes nothing but ``places``."""
        self._observers += (callback,)

    def off_change(self, callback: Callable[[], None]) -> None:
        self._observers = tuple(other for other in self._observers if other != callback)

    def send(self, rows: Rows, deadline: Deadline, on_end: Callable[[Outcome], None], avoid: str = "") -> None:
        now = self._clock()
        if deadline <= now:
            raise DeadlineExceeded("the deadline passed before a worker had a place")
        self._give(Outstanding(rows, deadline, on_end, avoid), now)

    async def score(self, rows: Rows, deadline: Deadline, avoid: str = "") -> Scored:
        """The same for whoever would rather wait."""
        reply: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()
        self.send(rows, deadline, partial(_settle, reply), avoid)
        return await reply

    def snapshot(self) -> list[WorkerSnapshot]:
        """One entry per worker, for whoever is on call."""
        return [WorkerSnapshot.of(channel) for channel in self._channels]

    async def run(self) -> None:
        """Keep the connections until ``close``, or until cancelled."""
        self._stop, self._ended = asyncio.Event(), asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(link.run()) for link in self._links]
                await self._stop.wait()
                for task in running:
                    task.cancel()
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Close every stream and return when it is done; batches that are still out fail with ``WorkerLost``."""
        if self._stop is not None and self._ended is not None:
            self._stop.set()
            await self._ended.wait()

    def _give(self, batch: Outstanding, now: float) -> None:
        worker = (self._only or self._pick(batch.avoid)) if self.open else None
        if worker is None:
            raise self._nobody_takes()
        layout = batch.rows.layout
        if layout is not worker.inputs and not worker.takes(layout):
            raise NotReady(f"the model of {self.name} has just been replaced by another")
        worker.send(batch, now)

    def _pick(self, avoid: str) -> WorkerChannel | None:
        self._turn = turn = self._turn + 1
        return pick_again(self._channels, turn, avoid) if avoid else pick(self._channels, turn)

    def _on_refused(self, batch: Outstanding) -> None:
        """The worker is draining, so the next choice is another."""
        batch.refusals += 1
        try:
            if batch.refusals >= len(self._channels):
                raise self._nobody_takes()
            self._give(batch, self._clock())
        except GatewayError as error:
            batch.on_end(error)

    def _nobody_takes(self) -> NotReady:
        return NotReady(f"no worker of {self.name} takes batches at the moment")

    def _is_back_soon(self, channel: WorkerChannel) -> bool:
        if channel.state is ChannelState.RESTING:
            return True
        if channel.state is ChannelState.READY:
            return False  # its breaker is open
        return channel.lost_at is not None and self._clock() - channel.lost_at < self._config.soon_ms / 1000

    def _on_place(self) -> None:
        for callback in self._callbacks:
            callback()

    def _on_change(self) -> None:
        for callback in self._observers + self._callbacks:
            callback()

    def _on_description(self, channel: WorkerChannel, description: Description) -> None:
        known = self.description
        if known is not None and known.signature != description.signature:
            if any(other is not channel and other.is_connected for other in self._channels):
                log.error("pool.signature_differs", deployment=self.name, worker=channel.address)
                raise WorkerFailed("the worker's signature is not that of the other workers of its deployment")
            log.warning("pool.model_replaced", deployment=self.name, worker=channel.address)
        elif known is not None:
            return
        self.description = description
        if self._publish is not None:
            self._publish(description)


def _settle(reply: asyncio.Future[Scored], outcome: Outcome) -> None:
    if reply.done():  # nobody waits any more
        return
    if isinstance(outcome, Scored):
        reply.set_result(outcome)
    else:
        reply.set_exception(outcome)
