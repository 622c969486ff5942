"""
Which endpoints a caller may see through the Open Inference Protocol.

Metadata is not secret from those who may score, and an endpoint may be opened to everybody. That an endpoint does not
exist is told only to callers who are known: names are not to be guessed from outside.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.access import Access
from gateway.core.catalog import Catalog, EndpointState
from gateway.core.errors import NotFound

__all__ = ["OipView"]


class OipView:
    """The catalog through the eyes of one caller at a time."""

    def __init__(self, catalog: Catalog, access: Access) -> None:
        self._catalog, self._access = catalog, access

    async def check(self, name: str, credential: str | None) -> None:
        """Whether the caller may score this endpoint. Raises ``Unauthenticated`` or ``Forbidden``."""
        await self._access(credential, name)

    async def endpoint(self, name: str, credential: str | None) -> EndpointState:
        """Raises ``Unauthenticated``, ``Forbidden`` or ``NotFound``."""
        try:
            state = self._catalog.endpoint(name)
        except NotFound:
            await self._access(credential, None)
            raise
        if not state.is_open:
            await self._access(credential, name)
        return state

    async def endpoints(self, credential: str | None) -> Sequence[EndpointState]:
        """All that the caller may score, or that are open. Raises ``Unauthenticated`` when there is nothing to show."""
        states = self._catalog.endpoints()
        if credential is None and any(state.is_open for state in states):
            return [state for state in states if state.is_open]
        principal = await self._access(credential, None)
        allowed = principal.endpoints
        return [state for state in states if allowed is None or state.is_open or state.name in allowed]
