"""
What is told of the desired state over the admin API. What nobody may see is left out (``state_sight``).

The newest document is one thing and what runs another: a version that was refused is the newest, and does not run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from gateway.control import changes
from gateway.control.diff import Change, differences
from gateway.control.document import Document, Entry
from gateway.control.progress import Progress, Running
from gateway.control.source import Source, SourceUnavailable
from gateway.control.state_checks import StateChecks
from gateway.control.state_sight import Judge, Settings, Sight
from gateway.core.access import Caller, Principal, Role
from gateway.core.errors import Forbidden, InvalidInput, NotFound

__all__ = ["StateReader"]

_UNTOLD = "for a reason that is not kept"


class StateReader:
    """
    Every method that takes a caller raises ``Unauthenticated``, ``Forbidden`` and ``SourceUnavailable``. ``refused``
    gives the versions that were, also before the newest refusal.
    """

    def __init__(
        self,
        source: Source,
        judge: Judge,
        sight: Sight,
        checks: StateChecks,
        running: Running,
        *,
        refused: Callable[[], Collection[int]] = frozenset,
    ) -> None:
        self._source, self._judge, self._sight, self._checks = source, judge, sight, checks
        self._running, self._refused = running, refused

    @property
    def progress(self) -> Progress:
        return self._running.progress

    async def looker(self, caller: Caller, endpoint: str | None = None) -> Principal:
        """Who may look: at one endpoint, or at any."""
        return await self._judge.on_endpoint(caller, endpoint, Role.READ)

    async def state(self, caller: Caller) -> Document:
        """What the caller may see of the newest: views only by who may read everything."""
        principal = await self.looker(caller)
        return self._sight.visible(principal, await self._sight.settled(principal))

    async def running(self, caller: Caller) -> Document:
        """
        Likewise of the version that runs, which a refused one is not, also while the newest cannot be read; of the
        newest where that is not kept.
        """
        principal = await self.looker(caller)
        try:
            newest, running = await self._sight.settled(principal), self.progress.running
        except SourceUnavailable:
            with suppress(NotFound):
                return self._sight.visible(principal, await self._source.past(self.progress.running))
            raise
        if running != newest.version:
            with suppress(NotFound):
                return self._sight.visible(principal, await self._source.past(running))
        return self._sight.visible(principal, newest)

    async def endpoint(self, caller: Caller, endpoint: str) -> Document:
        """The newest, for a look at one endpoint that is there. Raises ``NotFound``."""
        document = await self._sight.settled(await self.looker(caller, endpoint))
        changes.endpoint_of(document, endpoint)
        return document

    async def status(self, caller: Caller) -> tuple[Progress, Entry | None, str, str]:
        """What runs; the newest entry and why there is none; and why nothing can be written."""
        principal = await self.looker(caller)
        try:
            newest, problem = await self._sight.settled(principal), ""
        except SourceUnavailable as error:
            newest, problem = None, str(error)
        entry = self._sight.signed(principal, newest).entry if newest else None
        return self._sight.progress(principal, self.progress, newest), entry, problem, self._source.read_only

    async def history(self, caller: Caller, limit: int) -> Sequence[Entry]:
        """Newest first; it tells of every endpoint, so it is for who may read them all."""
        await self._judge.on_all(caller, Role.READ)
        return list(await self._source.history())[:limit]

    def why_refused(self, version: int) -> str:
        """Of one in the history, for who may read that; empty where it is not known to have been."""
        newest = self.progress.refused
        if newest is not None and newest.version == version:
            return newest.reason or _UNTOLD
        return _UNTOLD if version in self._refused() else ""

    async def past(self, caller: Caller, version: int) -> tuple[Document, list[Change]]:
        """A version, and what going back to it would change. Raises ``NotFound``."""
        principal = await self._judge.on_all(caller, Role.READ)
        past = await self._source.past(version)
        return past, differences(await self._sight.settled(principal), past)

    async def compare(
        self, caller: Caller, endpoints: Mapping[str, Settings], views: Mapping[str, Settings], *, is_whole: bool
    ) -> tuple[Document, list[Change], str]:
        """
        The newest, what ``merge`` or ``replace`` would change of it, and why that would be refused, if so.

        Who could not make the change is told only what is written otherwise: no file is looked at.
        """
        if is_whole:
            principal = await self._judge.on_all(caller, Role.READ)
        else:
            principal = await self._sight.each(caller, endpoints, views, Role.READ)
        document = await self._sight.settled(principal)
        make = changes.replace if is_whole else changes.merge
        wanted = changes.with_digests(make(document, endpoints, views), {})
        problem = ""
        if self._checks.may_deploy(principal, endpoints, is_everything=is_whole or bool(views)):
            try:
                await self._checks.seeds(views)
                digests = await self._checks.digests(principal, document, endpoints)
                wanted = changes.with_digests(wanted, digests)
                await self._checks.whole(wanted, principal)
            except (InvalidInput, Forbidden) as error:
                problem = str(error)
        return document, differences(document, wanted), problem
