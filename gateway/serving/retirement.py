"""
What no request is routed to any more: answers what it has accepted, and is then let go of.

A request keeps the deployment that it was routed to. Between that and its place in line it can only wait for the
feature store, so a lane that leaves is closed once nobody in any older generation waits there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from gateway.features.stage import Complete
from gateway.serving.generation import Generation
from gateway.serving.lane import Lane

__all__ = ["REPLACED", "Retirement"]

REPLACED = "the deployment was replaced"


class Retirement:
    """``then`` is called whenever some lanes are closed; ``drain`` is the least time that they get, in seconds."""

    def __init__(self, drain: float, then: Callable[[], Awaitable[None]]) -> None:
        self._drain, self._then = drain, then
        self._older: list[Complete] = []
        """Stages of earlier generations in which requests may still wait."""
        self._retiring: dict[Lane, asyncio.Task[None]] = {}

    @property
    def lanes(self) -> Collection[Lane]:
        """Those that are not closed yet."""
        return self._retiring.keys()

    def begin(self, old: Generation, leaving: Collection[Lane], tasks: asyncio.TaskGroup | None) -> None:
        """``old`` serves no more, and of its lanes these go with it; nothing runs without ``tasks``."""
        self._older.extend(old.stages)
        if tasks is not None:
            retiring = tasks.create_task(self._retire(leaving), name=f"retire version {old.version}")
            self._retiring.update(dict.fromkeys(leaving, retiring))

    async def ended(self) -> None:
        """Return when nothing is left."""
        await asyncio.gather(*self._retiring.values())

    async def _retire(self, leaving: Collection[Lane]) -> None:
        """Nobody is hurried who still has time."""
        waiting = list(self._older)
        with suppress(TimeoutError):
            async with asyncio.timeout(max([self._drain, *(lane.patience for lane in leaving)])):
                for stage in waiting:
                    await stage.idle()
        self._older = [stage for stage in self._older if stage not in waiting]
        await asyncio.gather(*(lane.close(max(self._drain, lane.patience), REPLACED) for lane in leaving))
        for lane in leaving:
            self._retiring.pop(lane, None)
        await self._then()
