"""
Keeps a set of child processes alive, and stops them in an order in which no accepted work is lost.

Children stand in stages. Stopping goes stage by stage: the gateways first, which finish what they accepted and still
need the workers for it, and the workers only when the gateways are gone.
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
        self._stages = [[Child(spec, backoff(random), clock, changed, stderr) for spec in stage] for stage in stages]

    @property
    def states(self) -> list[ChildState]:
        """Of all children, first stage first."""
        return [child.state for stage in self._stages for child in stage]

    async def run(self, stop: asyncio.Event) -> None:
        """Start every child and keep it running until ``stop``; then stop them all, and return when none is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for stage in reversed(self._stages):  # what is stopped last is needed first
                    for child in stage:
                        tasks.create_task(child.run(), name=f"child {child.spec.name}")
                await stop.wait()
                for stage in self._stages:
                    async with asyncio.TaskGroup() as stops:
                        for child in stage:
                            stops.create_task(child.stop(), name=f"stop {child.spec.name}")
        finally:
            self.kill()

    def kill(self) -> None:
        """End all children at once, for somebody who does not want to wait for the drain."""
        for stage in self._stages:
            for child in stage:
                child.kill()
