"""
What a caller may see of the desired state, and by which right.

Nothing of an endpoint that somebody may not read is told to them: not in a document, not as who made it and how, not in
the reason of a refusal. Views belong to all endpoints.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from gateway.control import changes
from gateway.control.document import Document, Entry
from gateway.control.progress import Progress
from gateway.control.source import Source, SourceUnavailable
from gateway.control.state_told import ELSEWHERE, partly_entry, partly_progress, partly_reason
from gateway.core.access import Caller, Principal, Role
from gateway.core.errors import ConfigError, GatewayError, InvalidInput

__all__ = ["Judge", "Settings", "Sight"]

Settings = Mapping[str, Any]
"""What the file of an endpoint or a view says."""


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


class Sight:
    """The source as one caller may see it."""

    def __init__(self, source: Source, judge: Judge) -> None:
        self._source, self._judge = source, judge

    async def newest(self, principal: Principal) -> Document:
        """All of it, for who would change it. Raises ``SourceUnavailable``."""
        return await self._told(self._source.read(), principal)

    async def settled(self, principal: Principal) -> Document:
        """The same for who only looks: nothing is taken up because somebody asked."""
        return await self._told(self._source.settled(), principal)

    async def each(
        self, caller: Caller, endpoints: Iterable[str], views: Mapping[str, Settings], role: Role
    ) -> Principal:
        """Who has that role on all of these. Raises ``Unauthenticated`` or ``Forbidden``."""
        if views or not endpoints:
            return await self._judge.on_all(caller, role)
        found = [await self._judge.on_endpoint(caller, endpoint, role) for endpoint in endpoints]
        return found[0]

    def visible(self, principal: Principal, document: Document) -> Document:
        """What the caller may see of it: views only by who may read everything."""
        if self._judge.holds_on_all(principal, Role.READ):
            return document
        endpoints = {name: each for name, each in document.endpoints.items() if principal.may(Role.READ, name)}
        partly = msgspec.structs.replace(self.signed(principal, document), endpoints=endpoints, views={})
        return changes.with_digests(partly, {})

    def signed(self, principal: Principal, document: Document) -> Document:
        """The same, with who made it and how for those who may know."""
        if self._judge.holds_on_all(principal, Role.READ):
            return document
        return msgspec.structs.replace(document, entry=partly_entry(document.entry))

    def progress(self, principal: Principal, progress: Progress, newest: Document | None) -> Progress:
        """The same, with what is told of endpoints that the caller may read."""
        if self._judge.holds_on_all(principal, Role.READ):
            return progress
        return partly_progress(progress, newest, lambda endpoint: principal.may(Role.READ, endpoint))

    def refusal(self, error: GatewayError, document: Document, principal: Principal) -> InvalidInput:
        """Of a document as a whole, in which there is more than the caller has sent."""
        if self._judge.holds_on_all(principal, Role.READ):
            return InvalidInput(str(error))
        return InvalidInput(partly_reason(str(error), document, lambda endpoint: principal.may(Role.READ, endpoint)))

    async def _told(self, reading: Awaitable[Document], principal: Principal) -> Document:
        try:
            return await reading
        except ConfigError as error:
            why = str(error) if self._judge.holds_on_all(principal, Role.READ) else ELSEWHERE
            raise SourceUnavailable(f"what is there now cannot be read: {why}") from error
