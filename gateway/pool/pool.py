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

import structlog

from gateway.core.deadline import Clock, Deadline
from gateway.core.description import Description
from gateway.core.errors import ConfigError, DeadlineExceeded, NotReady, WorkerFailed
from gateway.core.rows import Rows
from gateway.core.scoring import Scored
from gateway.pool.channel import ChannelState, WorkerChannel
from gateway.pool.codec import Refused
from gateway.pool.config import PoolConfig
from gateway.pool.pick import pick
from gateway.pool.snapshot import WorkerSnapshot
from gateway.pool.transport import takes_tls

__all__ = ["Pool"]

log = structlog.get_logger()


class Pool:
    """``gateway.core.scoring.Scorer`` over one stream per worker."""

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
        self.name = name
        """``endpoint/deployment``, for logs and messages."""
        self._config = config
        self._clock = clock
        self._publish = on_description
        self._callbacks: list[Callable[[], None]] = []
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
                clock=clock,
                random=random,
                on_change=self._on_change,
                on_description=self._on_description,
                tls=tls,
            )
            for address in addresses
        ]

    @property
    def places(self) -> int:
        return sum([channel.places for channel in self._channels if channel.places > 0])

    @property
    def spare(self) -> int:
        return sum([channel.spare for channel in self._channels if channel.spare > 0])

    @property
    def is_ready(self) -> bool:
        """True also shortly after the last worker was lost, because its restart takes milliseconds."""
        # Asked for every request while all places are taken: a generator would cost twice as much.
        for channel in self._channels:  # noqa: SIM110
            if channel.is_open or self._is_back_soon(channel):
                return True
        return False

    def on_place(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def off_place(self, callback: Callable[[], None]) -> None:
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    async def score(self, rows: Rows, deadline: Deadline, avoid: str = "") -> Scored:
        if deadline <= self._clock():
            raise DeadlineExceeded("the deadline passed before a worker had a place")
        for _ in self._channels:
            self._turn += 1
            worker = pick(self._channels, self._turn, avoid)
            if worker is None:
                break
            if not worker.takes(rows.layout):
                raise NotReady(f"the model of {self.name} has just been replaced by another")
            try:
                return await worker.send(rows, deadline)
            except Refused:
                continue  # it is draining, so the next choice is another
        raise NotReady(f"no worker of {self.name} takes batches at the moment")

    def snapshot(self) -> list[WorkerSnapshot]:
        """One entry per worker, for whoever is on call."""
        return [WorkerSnapshot.of(channel) for channel in self._channels]

    async def run(self) -> None:
        """Keep the connections until ``close``, or until cancelled."""
        self._stop, self._ended = asyncio.Event(), asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(channel.run()) for channel in self._channels]
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

    def _is_back_soon(self, channel: WorkerChannel) -> bool:
        if channel.state is ChannelState.RESTING:
            return True
        if channel.state is ChannelState.READY:
            return False  # its breaker is open
        return channel.lost_at is not None and self._clock() - channel.lost_at < self._config.soon_ms / 1000

    def _on_change(self) -> None:
        for callback in tuple(self._callbacks):
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
