"""
Changes of the desired state over the admin API: each is judged, checked, written through the source, and put on record.

A change is checked as a whole before it is written, on the version that its sender has seen; where the sender does not
care, it is made on the newest and made again when somebody else was faster. Whether a written change runs is another
question, which ``outcome`` waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from gateway.control import changes
from gateway.control.diff import Change, differences
from gateway.control.document import Document, content_digest
from gateway.control.model_guard import refuse_taking_over
from gateway.control.progress import Outcome, Progress, Running, outcome_of
from gateway.control.source import Conflict, ReadOnly, Source, SourceUnavailable
from gateway.control.state_checks import StateChecks
from gateway.control.state_sight import Judge, Settings, Sight
from gateway.control.way_back import WayBack
from gateway.core.access import Caller, Principal, Role
from gateway.core.errors import ConfigError, GatewayError

__all__ = ["StateWriter", "Written"]

_TRIES = 5
"""Changes by others that one without a version of its own gives way to."""
_PATIENCE = 30.0
"""Seconds until it is a change's turn."""

_Make = Callable[[Document], Document]


@dataclass(frozen=True, slots=True)
class Written:
    """
    What a change has led to. Nothing was written where everything was so already; ``changes`` is empty there, and also
    where only the spelling is another one.
    """

    document: Document
    changes: Sequence[Change]
    is_new: bool
    by: Principal


class StateWriter:
    """
    ``expected``, here and there, is the version that the sender has seen; None is whatever is newest.

    Every method raises ``Unauthenticated``, ``Forbidden``, ``SourceUnavailable``, ``InvalidInput``, ``Conflict`` and
    ``ReadOnly``.
    """

    def __init__(
        self,
        source: Source,
        judge: Judge,
        sight: Sight,
        checks: StateChecks,
        *,
        running: Running,
        way_back: WayBack,
    ) -> None:
        self._source, self._judge, self._sight, self._checks = source, judge, sight, checks
        self._running, self._way_back = running, way_back
        self._turn = asyncio.Lock()

    async def replace(
        self, caller: Caller, endpoints: Mapping[str, Settings], views: Mapping[str, Settings], expected: int | None
    ) -> Written:
        """Everything anew."""
        principal = await self._judge.on_all(caller, Role.DEPLOY)
        make: _Make = lambda document: changes.replace(document, endpoints, views)  # noqa: E731
        return await self._change(caller, principal, expected, make, endpoints, views=views)

    async def merge(
        self, caller: Caller, endpoints: Mapping[str, Settings], views: Mapping[str, Settings], expected: int | None
    ) -> Written:
        """The named endpoints and views anew."""
        principal = await self._sight.each(caller, endpoints, views, Role.DEPLOY)
        make: _Make = lambda document: changes.merge(document, endpoints, views)  # noqa: E731
        return await self._change(caller, principal, expected, make, endpoints, views=views)

    async def change_endpoint(
        self, caller: Caller, endpoint: str, expected: int | None, make: _Make, new: Settings | None = None
    ) -> Written:
        """One endpoint, by one of ``changes``; ``new`` are its new settings as far as they name models."""
        principal = await self._judge.on_endpoint(caller, endpoint, Role.DEPLOY)
        return await self._change(caller, principal, expected, make, {} if new is None else {endpoint: new})

    async def load(self, caller: Caller, endpoint: str, expected: int | None) -> Written:
        """Workers for the endpoint, with the files that its models have now."""
        principal = await self._judge.on_endpoint(caller, endpoint, Role.DEPLOY)
        settings = changes.endpoint_of(await self._sight.newest(principal), endpoint)
        make: _Make = lambda document: changes.set_loaded(document, endpoint, is_loaded=True)  # noqa: E731
        return await self._change(caller, principal, expected, make, {endpoint: settings})

    async def rollback(
        self, caller: Caller, version: int | None, expected: int | None, *, with_new_files: bool
    ) -> Written:
        """
        What ``version`` said. Without one: what runs, where the newest does not; else what ran here last before it.

        Models whose files have changed since are not the ones of that version: that is refused, or with
        ``with_new_files`` they are taken as they are. Raises ``NotFound``.
        """
        principal = await self._judge.on_all(caller, Role.DEPLOY)
        said = ""
        if version is None:
            past, said = await self._way_back.last_good((await self._sight.newest(principal)).version)
        else:
            past = await self._source.past(version)
        if not with_new_files:
            await self._checks.files(past)
        make: _Make = lambda document: changes.restore(document, past, said)  # noqa: E731
        return await self._change(caller, principal, expected, make, past.endpoints if with_new_files else {})

    async def outcome(self, written: Written, seconds: float) -> tuple[Outcome, Progress]:
        """What has become of a change after at most so long."""
        version = written.document.version
        found = outcome_of(self._running.progress, version)
        try:
            async with asyncio.timeout(seconds):
                while found == "pending":
                    await self._running.moved()
                    found = outcome_of(self._running.progress, version)
        except TimeoutError:
            pass
        return found, self._sight.progress(written.by, self._running.progress, written.document)

    async def _change(
        self,
        caller: Caller,
        principal: Principal,
        expected: int | None,
        make: _Make,
        reread: Mapping[str, Settings],
        *,
        views: Mapping[str, Settings] | None = None,
    ) -> Written:
        """``reread``: endpoints whose models are taken as they are now; ``views``: new ones."""
        try:
            if why := self._source.read_only:
                raise ReadOnly(why)
            newest = await self._sight.newest(principal)
            if expected is not None and expected != newest.version:
                raise Conflict(expected, newest.version)
            make(newest)  # what is wrong with the words is told before anything is looked at
            await self._checks.seeds(views or {})
            digests = await self._checks.digests(principal, newest, reread)
            async with self._in_turn():
                written = await self._write(expected, make, digests, principal)
        except GatewayError as error:
            self._judge.refused(principal, caller, error)
            raise
        if written.is_new:
            self._judge.changed(principal, caller, written.document.entry)
        return written

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """One change after the other; only waiting for it is bounded, so that none is broken off half-way."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._turn.acquire()
        except TimeoutError as error:
            raise SourceUnavailable("other changes are being written: nothing was changed") from error
        try:
            yield
        finally:
            self._turn.release()

    async def _write(self, expected: int | None, make: _Make, digests: Mapping[str, str], by: Principal) -> Written:
        tries = _TRIES if expected is None else 1
        while True:
            tries -= 1
            old = await self._sight.newest(by)
            if expected is not None and expected != old.version:
                raise Conflict(expected, old.version)
            refuse_taking_over(old, digests, lambda endpoint: by.may(Role.DEPLOY, endpoint))
            new = changes.with_digests(make(old), digests)
            if content_digest(new) == content_digest(old):
                return Written(self._sight.signed(by, old), [], is_new=False, by=by)
            await self._checks.whole(new, by)
            signed = msgspec.structs.replace(new, entry=msgspec.structs.replace(new.entry, by=by.name))
            try:
                written = await self._source.write(signed, old.version)
            except Conflict:
                if not tries:
                    raise
            except ConfigError as error:  # files of models have changed since they were checked
                raise self._sight.refusal(error, new, by) from error
            else:
                return Written(written, differences(old, new), is_new=True, by=by)
