"""
Brings all gateways of a machine to one version, whatever happens to one of them on the way.

*A gateway that is dead or restarting when others prepare* is waited for, because it usually is back within a second,
and having all of them check a version is better than having some. It is not waited for beyond ten: it starts from the
file that is about to be written, so leaving it out delays nothing and loses nothing. But somebody has to have checked:
when no gateway at all prepares, nothing is committed. Nor is anything while one says that it cannot at the moment, as
when the feature store does not answer: it would be behind, and is asked again.

*A gateway that dies between preparing and the file* comes back with the old file and switches when it sees the new
one; *between the file and the call*, it comes back with the new file. *A call that is lost* heals itself likewise: the
gateway looks at the file four times a second.

*A gateway that runs, but not by the version that was committed*, because it hangs or because it alone cannot serve it,
is the one case that nothing heals. After fifteen seconds (a minute, if it does not answer: it may be busy) it is
drained and started again, from the file: two versions at once are a state that nobody asked for, and the workers of the
old one are about to leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog

from gateway.commands.gateway_calls import GatewayCalls, GatewayNotNow, GatewayRefuses, GatewaySilent
from gateway.control.served import Served
from gateway.core.errors import GatewayError
from workers.child import Child

__all__ = ["CannotTell", "GatewayVersions"]

log = structlog.get_logger()

_ABSENT = 10.0
"""Seconds to wait for a gateway that is not there."""
_SILENT = 60.0
"""Seconds in which one that is there has to prepare, or to say anything at all: it may have much to do."""
_BEHIND = 15.0
"""Seconds after the commit in which a gateway has to run the version."""
_PAUSE = 0.05


class CannotTell(GatewayError):
    """It could not be found out whether a version can be served; that is nothing against the version."""

    retryable = True


class GatewayVersions:
    """
    ``children``: index of a gateway → its process. ``changed`` is called when ``known`` has changed.
    """

    def __init__(
        self,
        calls: GatewayCalls,
        children: Callable[[], Mapping[str, Child]],
        *,
        committed: int,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._calls, self._children, self._clock, self._changed = calls, children, clock, changed
        self._pause = pause
        self._committed = committed
        self._behind: dict[str, float] = {}
        """Since when a gateway that is there does not run what was committed."""
        self._noted: Mapping[str, tuple[int | None, str]] = {}
        """Index of a gateway → its process, as it was when something was noted last."""
        self._doubt = asyncio.Event()
        self._doubt.set()
        self.known: dict[str, int | None] = dict.fromkeys(calls.gateways)
        """Index of a gateway → the version that it runs; None for one that does not answer."""

    def note(self) -> None:
        """Something happened to a process; nothing is in doubt where it was none of the gateways."""
        found = {gateway: (child.state.pid, child.state.phase) for gateway, child in self._children().items()}
        if found == self._noted:
            return
        self._noted = found
        for gateway, child in self._children().items():
            if not child.state.is_ready:
                self._learn(gateway, None)
        self._doubt.set()

    async def prepare(self, served: Served) -> None:
        """Raises ``GatewayRefuses`` when one refuses, else ``CannotTell`` when none prepares or one cannot say now."""
        prepared, not_now = 0, ""
        outcomes = await asyncio.gather(*(self._prepare(each, served) for each in self._calls.gateways))
        for outcome in outcomes:
            if isinstance(outcome, GatewayRefuses):
                raise outcome
            if isinstance(outcome, GatewayNotNow):
                not_now = str(outcome)
            prepared += outcome is None
        if not_now:
            raise CannotTell(not_now)
        if not prepared:
            raise CannotTell("no gateway answers")

    async def commit(self, version: int) -> None:
        """The file says so already; this makes it quicker."""
        self._committed = version
        outcomes = await asyncio.gather(
            *(self._quiet(self._calls.commit(each, version)) for each in self._calls.gateways)
        )
        for gateway, is_done in zip(self._calls.gateways, outcomes, strict=True):
            if is_done:
                self._learn(gateway, version)
        self._doubt.set()

    async def abandon(self) -> None:
        """What was prepared is not going to be committed."""
        await asyncio.gather(*(self._quiet(self._calls.abandon(each)) for each in self._calls.gateways))

    async def until_unused(self, addresses: Collection[str], seconds: float) -> None:
        """Return when no gateway that is alive may still send these workers anything, or after ``seconds``."""
        deadline, gone = self._clock() + seconds, set(addresses)
        while self._clock() < deadline:
            states = await self._calls.states()
            children = self._children()
            if all(
                not children[gateway].state.is_ready if state is None else gone.isdisjoint(state.using)
                for gateway, state in states.items()
            ):
                return
            await self._pause(_PAUSE)
        log.warning("control.still_draining", seconds=seconds)

    async def run(self) -> None:
        """Look at the gateways until all of them run what was committed, whenever that is in doubt; until cancelled."""
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            while not await self._look():
                await self._pause(_PAUSE)

    async def _look(self) -> bool:
        """Whether nothing has to be looked at again until something happens."""
        states = await self._calls.states()
        children, now = self._children(), self._clock()
        for gateway, state in states.items():
            is_there = children[gateway].state.is_ready
            self._learn(gateway, state.version if state is not None and is_there else None)
            if is_there and self.known[gateway] != self._committed:
                self._behind.setdefault(gateway, now)
            else:
                self._behind.pop(gateway, None)  # one that is not there is heard of when it comes back
        hopeless = [
            gateway
            for gateway, since in self._behind.items()
            if now - since >= (_SILENT if self.known[gateway] is None else _BEHIND)
        ]
        for gateway in hopeless:
            log.warning("control.gateway_renewed", gateway=gateway, version=self.known[gateway])
            del self._behind[gateway]
        await asyncio.gather(*(children[gateway].renew() for gateway in hopeless))
        return not self._behind and not hopeless

    async def _prepare(self, gateway: str, served: Served) -> GatewayError | None:
        started = self._clock()
        while True:
            try:
                await self._calls.prepare(gateway, served)
            except (GatewayRefuses, GatewayNotNow) as error:
                return error
            except GatewaySilent as error:
                is_there = self._children()[gateway].state.is_ready
                if self._clock() - started >= (_SILENT if is_there else _ABSENT):
                    log.warning("control.gateway_left_out", gateway=gateway, version=served.version)
                    return error
                await self._pause(_PAUSE)
            else:
                return None

    async def _quiet(self, call: Awaitable[None]) -> bool:
        try:
            await call
        except GatewayError:
            return False
        return True

    def _learn(self, gateway: str, version: int | None) -> None:
        if self.known.get(gateway) != version:
            self.known[gateway] = version
            self._changed()
