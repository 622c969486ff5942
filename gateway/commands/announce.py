"""
What a person sees of a start: the models load, and when everything serves there are commands to try.

Only the start is told this way; what a reload does is told in the log and by the admin API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

import structlog
from rich.console import Console
from rich.text import Text

from gateway.auth.bootstrap import StateFiles
from gateway.commands.banner import banner
from gateway.commands.fleet import Fleet
from gateway.commands.loading import LoadView, load_view
from gateway.config import Config
from workers.child import ChildState

__all__ = ["Announcement"]

log = structlog.get_logger()

_SETTLED = ("ready", "failed", "stopped")
"""The last: something newer was wanted meanwhile."""
_CONNECT = 10.0
"""Seconds in which gateways connect to workers that are ready."""
_POLL = 0.05
_GATEWAY_TRIES = 2
"""Restarts after which a gateway that never listened is not going to."""


class Announcement:
    """``groups`` and ``gateways`` give the processes of the start; ``clock`` is for how long gateways may take."""

    def __init__(
        self,
        console: Console,
        stop: asyncio.Event,
        fleet: Fleet,
        *,
        groups: Callable[[], Sequence[ChildState]],
        gateways: Callable[[], Sequence[ChildState]],
        clock: Callable[[], float],
    ) -> None:
        self._console, self._stop, self._fleet, self._clock = console, stop, fleet, clock
        self._groups, self._gateways = groups, gateways
        self._view: LoadView | None = None
        self._changed = asyncio.Event()

    def note(self, state: ChildState | None = None) -> None:
        """A process has changed, or everything is to stop."""
        if self._view is not None and state is not None:
            self._view.update(state)
        self._changed.set()

    async def loaded(self) -> bool:
        """Follow the loading until it is over and the gateways serve; False when nothing at all can be served."""
        groups = self._groups()
        with load_view(self._console, sorted(state.name for state in groups)) as self._view:
            while not self._stop.is_set() and not all(state.phase in _SETTLED for state in groups):
                await self._next()
        self._view = None
        failed = [state for state in groups if state.phase == "failed"]
        if self._stop.is_set():
            return True
        if groups and len(failed) == len(groups):
            for state in failed:
                self._say(f"{state.name}: {state.reason}")
            self._say("no model could be loaded")
            return False
        if not await self._gateways_listen():
            return False
        await self._linked({state.name for state in groups if state.phase == "ready"})
        return True

    async def until(self, event: asyncio.Event) -> None:
        """Wait for it, or until everything is to stop: then nobody may be left who would set it."""
        waits = [asyncio.create_task(each.wait(), name="announcement") for each in (event, self._stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def serving(self, config: Config, files: StateFiles) -> None:
        """Tell that it serves, and how to ask it."""
        readiness = await self._fleet.readiness()
        for line in banner(config, files, readiness.details, await self._fleet.examples()):
            self._say(line)
        log.info("serve.ready", ready=readiness.is_ready)

    async def _gateways_listen(self) -> bool:
        """Until all do; False when one of them cannot start at all."""
        gateways = self._gateways()
        while not self._stop.is_set() and not all(state.is_ready for state in gateways):
            for state in gateways:
                if state.restarts >= _GATEWAY_TRIES and not state.is_ready:
                    self._say(f"{state.name} does not start: {state.reason}")
                    return False
            await self._next()
        return True

    async def _linked(self, loaded: Collection[str]) -> None:
        """Until the gateways know every deployment that has loaded; they connect within milliseconds of that."""
        deadline = self._clock() + _CONNECT
        while not self._stop.is_set() and self._clock() < deadline:
            details = (await self._fleet.readiness()).details
            ready = {
                f"{endpoint}/{name}"
                for endpoint, deployments in details["endpoints"].items()
                for name, state in deployments.items()
                if state["ready"]
            }
            if ready.issuperset(loaded):
                return
            await asyncio.sleep(_POLL)

    async def _next(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
