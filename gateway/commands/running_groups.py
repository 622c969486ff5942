"""
The groups of workers that are there: those that serve, those that load and those that leave.

Each is a child of the supervisor, which keeps it alive. What this adds is loading in the background of others, an end
to waiting for one that will not load, and nothing left over in the folder of sockets when a group is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from gateway.commands.groups import Group
from gateway.core.errors import GatewayError
from workers import gentle
from workers.child import Child, ChildSpec, ChildState
from workers.supervisor import Supervisor

__all__ = ["LoadFailed", "RunningGroups", "Superseded"]

log = structlog.get_logger()

_LIVES = 3
"""Deaths of one process while it loads: the first may have been chance."""
_NO_RIGHT = "expected CAP_SYS_NICE, or a limit for nice of 20 (LimitNICE=+0)"


class LoadFailed(GatewayError):
    """A group cannot be loaded."""


class Superseded(GatewayError):
    """Something newer is wanted."""


class RunningGroups:
    """
    ``stage`` of the supervisor is theirs. ``spec_of`` makes the child of a group, gentle or not; ``end_gentleness``
    takes the process id of one that was, and ``leave`` that of one that nobody needs any more.

    On a machine without a moment to spare, what is behind all others would never load: so it is for ``gentle_for``
    seconds.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        stage: int,
        spec_of: Callable[[Group, bool], ChildSpec],
        *,
        clock: Callable[[], float],
        gentle_for: float,
        can_return: Callable[[], bool] = gentle.can_return,
        end_gentleness: Callable[[int], Awaitable[None]] = gentle.end,
        leave: Callable[[int], Awaitable[None]] = gentle.leave,
    ) -> None:
        self._supervisor, self._stage, self._spec_of, self._clock = supervisor, stage, spec_of, clock
        self._gentle_for, self._can_return, self._end_gentleness = gentle_for, can_return, end_gentleness
        self._leave = leave
        self._children: dict[Group, Child] = {}
        self._gentle: set[Group] = set()
        self._has_asked = False
        self._changed = asyncio.Event()

    def note(self, _: ChildState | None = None) -> None:
        """Something has changed: to be called by whoever hears of it."""
        self._changed.set()

    def start(self, group: Group, *, is_gentle: bool) -> None:
        """``is_gentle``: others serve meanwhile."""
        is_gentle = is_gentle and self._gentle_for > 0
        if is_gentle:
            self._gentle.add(group)
            if not self._has_asked and not self._can_return():
                log.warning("control.loads_at_normal_priority", reason=_NO_RIGHT)
            self._has_asked = True  # it takes a thread to ask, and what we may do stays as it is
        self._children[group] = self._supervisor.start(self._spec_of(group, is_gentle), self._stage)

    async def stop(self, groups: Sequence[Group]) -> None:
        """Drain them, all at once and behind all others, and remove what is left of them."""
        async with asyncio.TaskGroup() as stops:
            for group in groups:
                stops.create_task(self._stop(group), name=f"stop {group.name}")

    def state(self, group: Group) -> ChildState:
        return self._children[group].state

    def waiting(self, groups: Sequence[Group]) -> list[str]:
        """Names of those that are not ready."""
        return [group.name for group in groups if not self.state(group).is_ready]

    async def until_ready(
        self, groups: Sequence[Group], seconds: float, is_wanted: Callable[[], bool], kept: Sequence[Group] = ()
    ) -> None:
        """
        Return when all of them are ready and at normal priority. ``kept`` have been there before: what they have died
        of until now is not held against them.

        Raises ``LoadFailed``, with the reason of the one that failed, and ``Superseded`` when ``is_wanted`` says no;
        whoever calls it decides what becomes of the groups.
        """
        started = self._clock()
        lived = {group: _deaths(self.state(group)) for group in kept}
        groups = [*groups, *kept]
        while True:
            self._changed.clear()
            if not is_wanted():
                raise Superseded("something newer is wanted")
            for group in groups:
                if reason := _failed(self.state(group), lived.get(group, 0)):
                    raise LoadFailed(f"{group.name}: {reason}")
            late = self.waiting(groups)
            if not late:
                break
            waited = self._clock() - started
            if waited >= seconds:
                raise LoadFailed(f"{', '.join(late)}: not loaded after {seconds:g} s")
            if waited >= self._gentle_for:
                await self._hurry(groups)
            wake = seconds if waited >= self._gentle_for else min(seconds, self._gentle_for)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wake - waited)):
                    await self._changed.wait()
        await self._hurry(groups)

    async def _hurry(self, groups: Sequence[Group]) -> None:
        for group in groups:
            if group in self._gentle:
                self._gentle.discard(group)
                if (pid := self.state(group).pid) is not None:
                    await self._end_gentleness(pid)

    async def _stop(self, group: Group) -> None:
        if (pid := self.state(group).pid) is not None:
            await self._leave(pid)
        await self._supervisor.stop(self._children[group])
        self._children.pop(group, None)
        self._gentle.discard(group)
        for file in group.files:
            with suppress(OSError):
                file.unlink(missing_ok=True)


def _deaths(state: ChildState) -> int:
    return state.restarts + max(state.forks.values(), default=0)


def _failed(state: ChildState, before: int) -> str:
    """Why the group will not load; empty while it may. ``before``: deaths that do not count."""
    if state.is_ready:
        return ""
    if state.phase == "failed":
        return state.reason or "the model cannot be served"
    if _deaths(state) - before >= _LIVES:
        return f"{state.reason or 'it ended'}, {_LIVES} times in a row"
    return ""
