"""Pauses that end when a test says so, for what looks again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any

__all__ = ["Following", "Paced", "PacedAlarm"]

_LIMIT = 20.0
"""Seconds after which a test fails instead of hanging."""


class Paced:
    """``pause`` is given to whoever pauses; ``lengths`` are those that were asked for."""

    def __init__(self) -> None:
        self.lengths: list[float] = []
        self._go, self._arrived = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def pause(self, seconds: float) -> None:
        self.lengths.append(seconds)
        self._arrived.release()
        await self._go.acquire()

    def alarm(self) -> PacedAlarm:
        """For a thread that pauses so."""
        return PacedAlarm(self, asyncio.get_running_loop())

    def end(self) -> None:
        """Of the pause that is, or the next one."""
        self._go.release()

    async def arrived(self) -> None:
        async with asyncio.timeout(_LIMIT):
            await self._arrived.acquire()


class PacedAlarm:
    """As ``threading.Event``, where the pause ends when a test says so, or when it is set."""

    def __init__(self, paced: Paced, loop: asyncio.AbstractEventLoop) -> None:
        self._paced, self._loop = paced, loop
        self._pausing: Future[None] | None = None
        self._is_set = False

    def wait(self, timeout: float) -> bool:
        self._pausing = asyncio.run_coroutine_threadsafe(self._paced.pause(timeout), self._loop)
        if self._is_set:
            self._pausing.cancel()
        with suppress(CancelledError):
            self._pausing.result()
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._pausing is not None:
            self._pausing.cancel()


class Following:
    """Somebody who waits for something to come, pause after pause."""

    def __init__(self, coming: Awaitable[Any], paced: Paced) -> None:
        self._task, self._paced = asyncio.ensure_future(coming), paced

    async def __aenter__(self) -> Following:
        await self._settle()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @property
    def has_come(self) -> bool:
        return self._task.done()

    async def turns(self, count: int = 1) -> bool:
        """End so many pauses, each when it has begun; whether it has come by then."""
        for _ in range(count):
            if not self.has_come:
                self._paced.end()
                await self._settle()
        return self.has_come

    async def come(self) -> None:
        """Wait for it without ending a pause."""
        async with asyncio.timeout(_LIMIT):
            await self._task

    async def _settle(self) -> None:
        """Until it pauses, or has come."""
        arrival = asyncio.ensure_future(self._paced.arrived())
        await asyncio.wait({arrival, self._task}, return_when=asyncio.FIRST_COMPLETED)
        arrival.cancel()
        with suppress(asyncio.CancelledError):
            await arrival
