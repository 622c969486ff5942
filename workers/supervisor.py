"""
Keeps a set of child processes alive, and stops them in an order in which no accepted work is lost.

Children stand in stages. Stopping goes stage by stage: the gateways first, which finish what they accepted and still
need the workers for it, and the workers only when the gateways are gone. While it runs, children come (``start``) and
go (``stop``) one by one; each belongs to the supervisor from the one to the other, whoever asked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from workers.child import Child, ChildSpec, ChildState
from workers.restart import Backoff

__all__ = ["Supervisor"]


class Supervisor:
    """
    ``stages``: children in the order in which they are stopped. ``changed`` is called after every change of one;
    ``stderr`` is where they log, None for our own standard error.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[ChildSpec]],
        *,
        random: Callable[[], float],
        clock: Callable[[], float],
        changed: Callable[[ChildState], None] = lambda _: None,
        backoff: Callable[[Callable[[], float]], Backoff] = Backoff,
        stderr: int | None = None,
    ) -> None:
        self._random, self._clock, self._backoff, self._stderr = random, clock, backoff, stderr
        self._changed = changed
        self._stages: list[list[Child]] = [[] for _ in stages]
        self._tasks: asyncio.TaskGroup | None = None
        self._is_stopping = False
        for place, specs in enumerate(stages):
            for spec in specs:
                self.start(spec, place)

    @property
    def states(self) -> list[ChildState]:
        """Of all children that are there, first stage first."""
        return [child.state for stage in self._stages for child in stage]

    def children(self, stage: int) -> list[Child]:
        """Those of one stage, in the order in which they came."""
        return list(self._stages[stage])

    def start(self, spec: ChildSpec, stage: int) -> Child:
        """One more child: it starts now, or with ``run``. One that comes when all are being stopped never starts."""
        child = Child(spec, self._backoff(self._random), self._clock, self._changed, self._stderr)
        self._stages[stage].append(child)
        if self._is_stopping:
            child.kill()
        if self._tasks is not None:
            self._own(child, self._tasks)
        return child

    async def stop(self, child: Child) -> None:
        """Drain one child, and forget it when it is gone. Cancelled, it is still ours and stopped with the others."""
        await child.stop()
        for stage in self._stages:
            if child in stage:
                stage.remove(child)

    async def run(self, stop: asyncio.Event) -> None:
        """Start every child and keep it running until ``stop``; then stop them all, and return when none is left."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for stage in reversed(self._stages):  # what is stopped last is needed first
                    for child in stage:
                        self._own(child, self._tasks)
                await stop.wait()
                self._is_stopping = True
                for stage in self._stages:
                    async with asyncio.TaskGroup() as stops:
                        for child in list(stage):
                            stops.create_task(child.stop(), name=f"stop {child.spec.name}")
        finally:
            self._tasks, self._is_stopping = None, True
            self.kill()

    def kill(self) -> None:
        """End all children at once, for somebody who does not want to wait for the drain."""
        for stage in self._stages:
            for child in stage:
                child.kill()

    def _own(self, child: Child, tasks: asyncio.TaskGroup) -> None:
        running = tasks.create_task(child.run(), name=f"child {child.spec.name}")
        running.add_done_callback(lambda _: child.lost())  # cancelled before its first step, it could not say so itself
