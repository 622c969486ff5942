"""The auth stage: a request goes on only with a principal."""

from __future__ import annotations

from gateway.core.access import Access, Role
from gateway.core.request import Answer, Authenticated, Received
from gateway.core.service import Service

__all__ = ["Authenticate"]


class Authenticate:
    """Asks who calls before anything of the body is decoded."""

    def __init__(self, access: Access, inner: Service[Authenticated, Answer]) -> None:
        self._access, self._inner = access, inner

    async def __call__(self, request: Received, /) -> Answer:
        principal = await self._access(request, request.endpoint, Role.SCORE)
        request.timeline.mark("auth")
        return await self._inner(Authenticated(request, principal))
