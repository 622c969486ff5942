"""
Which endpoints a caller may see through the Open Inference Protocol.

Metadata is not secret from those who may score, and an endpoint may be opened to everybody. That an endpoint does not
exist is told only to callers who are known: names are not to be guessed from outside.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.access import Access, Caller, Role
from gateway.core.catalog import Catalog, EndpointState
from gateway.core.errors import NotFound

__all__ = ["OipView"]


class OipView:
    """The catalog through the eyes of one caller at a time."""

    def __init__(self, catalog: Catalog, access: Access) -> None:
        self._catalog, self._access = catalog, access

    async def check(self, name: str, caller: Caller) -> None:
        """Whether the caller may score this endpoint. Raises ``Unauthenticated`` or ``Forbidden``."""
        await self._access(caller, name, Role.SCORE)

    async def endpoint(self, name: str, caller: Caller) -> EndpointState:
        """Raises ``Unauthenticated``, ``Forbidden`` or ``NotFound``."""
        try:
            state = self._catalog.endpoint(name)
        except NotFound:
            await self._access(caller, None, Role.READ)
            raise
        if not state.is_open:
            await self._access(caller, name, Role.READ)
        return state

    async def endpoints(self, caller: Caller) -> Sequence[EndpointState]:
        """All that the caller may read, or that are open. Raises ``Unauthenticated`` when there is nothing to show."""
        states = self._catalog.endpoints()
        if caller.credential is None and caller.certificate is None and any(state.is_open for state in states):
            return [state for state in states if state.is_open]
        principal = await self._access(caller, None, Role.READ)
        return [state for state in states if state.is_open or principal.may(Role.READ, state.name)]
