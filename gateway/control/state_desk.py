"""
The desired state over the admin API: every request is judged, checked, written through the source, and put on record.

A change is checked as a whole before it is written, on the version that its sender has seen; where the sender does not
care, it is made on the newest and made again when somebody else was faster. What nobody may see is left out. Whether a
written change runs is another question, which ``outcome`` waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from gateway.control import changes
from gateway.control.diff import Change, differences
from gateway.control.document import Document, Entry, content_digest
from gateway.control.model_files import ModelFiles
from gateway.control.model_guard import ModelGuard, check_seeds, refuse_taking_over
from gateway.control.progress import Outcome, Progress, Running, outcome_of
from gateway.control.ran import Ran
from gateway.control.source import Conflict, ReadOnly, Source, SourceUnavailable
from gateway.control.state_told import ELSEWHERE, partly_entry, partly_progress, partly_reason
from gateway.core.access import Caller, Principal, Role
from gateway.core.errors import ConfigError, Forbidden, GatewayError, InvalidInput, NotFound

__all__ = ["Judge", "StateDesk", "Written"]

T = TypeVar("T")

_TRIES = 5
"""Changes by others that one without a version of its own gives way to."""
_PATIENCE = 30.0
"""Seconds until it is a change's turn."""

Settings = Mapping[str, Any]
_Make = Callable[[Document], Document]


class Judge(Protocol):
    """Who knows the callers, and keeps the audit trail. Refusals are on it already when they are raised."""

    async def on_endpoint(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """None: on any. Raises ``Unauthenticated`` or ``Forbidden``."""

    async def on_all(self, caller: Caller, role: Role) -> Principal:
        """On all endpoints that there are and will be. Raises likewise."""

    def holds_on_all(self, principal: Principal, role: Role) -> bool: ...

    def changed(self, principal: Principal, caller: Caller, entry: Entry) -> None: ...

    def refused(self, principal: Principal, caller: Caller, error: GatewayError) -> None:
        """A change by somebody who may make it."""


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


class StateDesk:
    """
    ``check`` composes a document into a configuration and raises ``ConfigError``; it is called in a thread, as are
    ``models`` and ``guard``. ``expected``, here and there, is the version that the sender has seen; None is whatever is
    newest. No path is looked at for anybody who may not deploy what names it.

    Every method raises ``Unauthenticated``, ``Forbidden`` and ``SourceUnavailable``; changes raise ``InvalidInput``,
    ``Conflict`` and ``ReadOnly`` besides.
    """

    def __init__(
        self,
        source: Source,
        judge: Judge,
        check: Callable[[Document], object],
        models: ModelFiles,
        *,
        guard: ModelGuard,
        running: Running,
        ran: Ran,
    ) -> None:
        self._source, self._judge, self._check, self._models, self._guard = source, judge, check, models, guard
        self._running, self._ran = running, ran
        self._turn = asyncio.Lock()

    @property
    def progress(self) -> Progress:
        return self._running.progress

    async def run(self) -> None:
        """Remember which versions run and which are refused, until cancelled."""
        while True:
            seen = self._running.progress
            await self._note()
            if self._running.progress == seen:  # nothing has moved while it was written down
                await self._running.moved()

    async def reader(self, caller: Caller, endpoint: str | None = None) -> Principal:
        """Who may look: at one endpoint, or at any."""
        return await self._judge.on_endpoint(caller, endpoint, Role.READ)

    async def state(self, caller: Caller) -> Document:
        """What the caller may see of the newest: views only by who may read everything."""
        principal = await self.reader(caller)
        return self._visible(principal, await self._newest(principal))

    async def running(self, caller: Caller) -> Document:
        """Likewise of the version that runs, which a refused one is not; of the newest where that is not kept."""
        principal = await self.reader(caller)
        newest, running = await self._newest(principal), self._running.progress.running
        if running != newest.version:
            with suppress(NotFound):
                return self._visible(principal, await self._source.past(running))
        return self._visible(principal, newest)

    async def endpoint(self, caller: Caller, endpoint: str) -> Document:
        """The newest, for a look at one endpoint that is there. Raises ``NotFound``."""
        document = await self._newest(await self.reader(caller, endpoint))
        changes.endpoint_of(document, endpoint)
        return document

    async def status(self, caller: Caller) -> tuple[Progress, Entry | None, str, str]:
        """What runs; the newest entry and why there is none; and why nothing can be written."""
        principal = await self.reader(caller)
        try:
            newest, problem = await self._newest(principal), ""
        except SourceUnavailable as error:
            newest, problem = None, str(error)
        entry = self._signed(principal, newest).entry if newest else None
        return self._progress(principal, newest), entry, problem, self._source.read_only

    async def history(self, caller: Caller, limit: int) -> Sequence[Entry]:
        """Newest first; it tells of every endpoint, so it is for who may read them all."""
        await self._judge.on_all(caller, Role.READ)
        return list(await self._source.history())[:limit]

    async def past(self, caller: Caller, version: int) -> tuple[Document, list[Change]]:
        """A version, and what going back to it would change. Raises ``NotFound``."""
        principal = await self._judge.on_all(caller, Role.READ)
        past = await self._source.past(version)
        return past, differences(await self._newest(principal), past)

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
            principal = await self._each(caller, endpoints, views, Role.READ)
        document = await self._newest(principal)
        make = changes.replace if is_whole else changes.merge
        wanted = changes.with_digests(make(document, endpoints, views), {})
        problem = ""
        if self._may_deploy(principal, endpoints, is_everything=is_whole or bool(views)):
            try:
                await _told(lambda: check_seeds(views))
                digests = await self._digests(principal, document, endpoints)
                wanted = changes.with_digests(wanted, digests)
                await self._checked(wanted, principal)
            except (InvalidInput, Forbidden) as error:
                problem = str(error)
        return document, differences(document, wanted), problem

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
        principal = await self._each(caller, endpoints, views, Role.DEPLOY)
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
        settings = changes.endpoint_of(await self._newest(principal), endpoint)
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
            past, said = await self._last_good((await self._newest(principal)).version)
        else:
            past = await self._source.past(version)
        if not with_new_files:
            await _told(lambda: self._models.check(past))
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
        return found, self._progress(written.by, written.document)

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
            newest = await self._newest(principal)
            if expected is not None and expected != newest.version:
                raise Conflict(expected, newest.version)
            make(newest)  # what is wrong with the words is told before anything is looked at
            await _told(lambda: check_seeds(views or {}))
            digests = await self._digests(principal, newest, reread)
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
            old = await self._newest(by)
            if expected is not None and expected != old.version:
                raise Conflict(expected, old.version)
            refuse_taking_over(old, digests, lambda endpoint: by.may(Role.DEPLOY, endpoint))
            new = changes.with_digests(make(old), digests)
            if content_digest(new) == content_digest(old):
                return Written(self._signed(by, old), [], is_new=False, by=by)
            await self._checked(new, by)
            signed = msgspec.structs.replace(new, entry=msgspec.structs.replace(new.entry, by=by.name))
            try:
                written = await self._source.write(signed, old.version)
            except Conflict:
                if not tries:
                    raise
            except ConfigError as error:  # files of models have changed since they were checked
                raise self._refusal(error, new, by) from error
            else:
                return Written(written, differences(old, new), is_new=True, by=by)

    async def _last_good(self, newest: int) -> tuple[Document, str]:
        """What ``rollback`` without a version returns to, and what is to be said about it."""
        running = self._running.progress.running
        if 0 < running < newest:
            return await self._source.past(running), ""
        await self._note()
        for version in self._ran.before(newest):
            with suppress(NotFound):  # not kept any more
                return await self._source.past(version), ""
        for entry in await self._source.history():
            if entry.version < newest and entry.version not in self._ran.refused:
                return await self._source.past(entry.version), ", not known to have run"
        raise InvalidInput("version: there is none before the newest that is not known to have been refused")

    async def _note(self) -> None:
        progress = self._running.progress
        if progress.refused is not None:
            self._ran.refused.add(progress.refused.version)
        await asyncio.to_thread(self._ran.note, progress.running)

    async def _newest(self, principal: Principal) -> Document:
        try:
            return await self._source.read()
        except ConfigError as error:
            why = str(error) if self._judge.holds_on_all(principal, Role.READ) else ELSEWHERE
            raise SourceUnavailable(f"what is there now cannot be read: {why}") from error

    def _progress(self, principal: Principal, newest: Document | None) -> Progress:
        progress = self._running.progress
        if self._judge.holds_on_all(principal, Role.READ):
            return progress
        return partly_progress(progress, newest, lambda endpoint: principal.may(Role.READ, endpoint))

    async def _digests(
        self, principal: Principal, newest: Document, endpoints: Mapping[str, Settings]
    ) -> Mapping[str, str]:
        """Of the models that a change names, if it may name them."""
        if not endpoints:
            return {}
        await _told(lambda: self._guard.check(endpoints, newest))
        digests = await _told(lambda: self._models.digests(endpoints))
        refuse_taking_over(newest, digests, lambda endpoint: principal.may(Role.DEPLOY, endpoint))
        return digests

    def _may_deploy(self, principal: Principal, endpoints: Iterable[str], *, is_everything: bool) -> bool:
        if is_everything:
            return self._judge.holds_on_all(principal, Role.DEPLOY)
        return all(principal.may(Role.DEPLOY, endpoint) for endpoint in endpoints)

    async def _checked(self, document: Document, principal: Principal) -> None:
        try:
            await _told(lambda: self._check(document))
        except InvalidInput as error:
            raise self._refusal(error, document, principal) from error

    def _refusal(self, error: GatewayError, document: Document, principal: Principal) -> InvalidInput:
        """Of a document as a whole, in which there is more than the caller has sent."""
        if self._judge.holds_on_all(principal, Role.READ):
            return InvalidInput(str(error))
        return InvalidInput(partly_reason(str(error), document, lambda endpoint: principal.may(Role.READ, endpoint)))

    async def _each(
        self, caller: Caller, endpoints: Iterable[str], views: Mapping[str, Settings], role: Role
    ) -> Principal:
        """Views belong to all endpoints."""
        if views or not endpoints:
            return await self._judge.on_all(caller, role)
        found = [await self._judge.on_endpoint(caller, endpoint, role) for endpoint in endpoints]
        return found[0]

    def _visible(self, principal: Principal, document: Document) -> Document:
        if self._judge.holds_on_all(principal, Role.READ):
            return document
        endpoints = {name: each for name, each in document.endpoints.items() if principal.may(Role.READ, name)}
        partly = msgspec.structs.replace(self._signed(principal, document), endpoints=endpoints, views={})
        return changes.with_digests(partly, {})

    def _signed(self, principal: Principal, document: Document) -> Document:
        """The same, with who made it and how for those who may know."""
        if self._judge.holds_on_all(principal, Role.READ):
            return document
        return msgspec.structs.replace(document, entry=partly_entry(document.entry))


async def _told(work: Callable[[], T]) -> T:
    """In a thread, because it reads files; what is wrong is told to whoever asked."""
    try:
        return await asyncio.to_thread(work)
    except ConfigError as error:
        raise InvalidInput(str(error)) from error
    except OSError as error:
        raise InvalidInput(f"a path cannot be looked at: {error.strerror}") from error
