"""The auth stage: a request goes on only with a principal."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter_ns

from gateway.core.access import Access, Caller, Principal, PromptAccess, Role
from gateway.core.request import Answer, Authenticated, Received
from gateway.core.service import Service

__all__ = ["Authenticate"]


class Authenticate:
    """Asks who calls before anything of the body is decoded."""

    def __init__(self, access: Access, inner: Service[Authenticated, Answer]) -> None:
        self._access, self._inner = access, inner
        self._at_once = access.at_once if isinstance(access, PromptAccess) else _never

    def __call__(self, request: Received, /) -> Awaitable[Answer]:
        principal = self._at_once(request, request.endpoint, Role.SCORE)
        if principal is None:
            return self._wait(request)
        request.timeline.auth = perf_counter_ns()
        return self._inner(Authenticated(request, principal))

    async def _wait(self, request: Received) -> Answer:
        """For a token whose key must be fetched, for example."""
        principal = await self._access(request, request.endpoint, Role.SCORE)
        request.timeline.auth = perf_counter_ns()
        return await self._inner(Authenticated(request, principal))


def _never(caller: Caller, endpoint: str | None, role: Role) -> Principal | None:  # noqa: ARG001
    """Of an access that always has to be waited for."""
    return None
