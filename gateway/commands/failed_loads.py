"""
Tells the gateways which models could not be loaded, so that callers need not wait for one that is not coming.

A gateway knows a worker only by what it says once it serves; how a load ended is known to the supervisor, which
started it. A deployment has failed from the first load that did until it is ready: that another try is under way
meanwhile is nothing to a caller. A gateway that was started anew has not heard of any, and is told again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.commands.gateway_calls import GatewayCalls
from gateway.control.admin_failed import FailedLoads
from gateway.core.errors import GatewayError
from workers.child import Child, ChildState

__all__ = ["FailedTold"]

_AGAIN = 1.0
"""Seconds before a gateway that did not answer is told again."""

_NONE: frozenset[str] = frozenset()


class FailedTold:
    """``groups``: those that serve, named after their deployments; ``children``: index of a gateway → its process."""

    def __init__(
        self,
        calls: GatewayCalls,
        groups: Callable[[], Sequence[ChildState]],
        children: Callable[[], Mapping[str, Child]],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._calls, self._groups, self._children, self._pause = calls, groups, children, pause
        self._failed = _NONE
        self._told: dict[str, tuple[int | None, frozenset[str] | None]] = {}
        """Index of a gateway → its process id, and what that process was told; None where it may have heard or not."""
        self._changed = asyncio.Event()

    def note(self) -> None:
        """Something happened to a process."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while not await self._tell():
                await self._pause(_AGAIN)

    async def _tell(self) -> bool:
        """Whether all gateways that are there have heard."""
        self._failed = failed = frozenset(
            state.name
            for state in self._groups()
            if state.phase == "failed" or (state.name in self._failed and not state.is_ready)
        )
        has_told = True
        for gateway, child in self._children().items():
            if not child.state.is_ready:  # it is heard of when it is
                continue
            pid, (told_pid, told) = child.state.pid, self._told.get(gateway, (None, _NONE))
            if failed == (told if told_pid == pid else _NONE):
                continue
            self._told[gateway] = pid, None
            try:
                await self._calls.failed(gateway, _by_endpoint(failed))
            except GatewayError:
                has_told = False
            else:
                self._told[gateway] = pid, failed
        return has_told


def _by_endpoint(names: frozenset[str]) -> FailedLoads:
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        endpoint, _, deployment = name.partition("/")
        found.setdefault(endpoint, []).append(deployment)
    return FailedLoads(found)
