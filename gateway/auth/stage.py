"""The auth stage: a request goes on only with a principal."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter_ns

from gateway.auth.passes import Passes
from gateway.core.access import Access, Caller, Principal, PromptAccess, Role
from gateway.core.request import Answer, Authenticated, Received
from gateway.core.service import Service, function_of

__all__ = ["Authenticate"]


class Authenticate:
    """
    Asks who calls before anything of the body is decoded. Who has one of the ``passes`` would be let in by ``access``,
    as whom the pass says.
    """

    def __init__(self, access: Access, inner: Service[Authenticated, Answer], passes: Passes | None = None) -> None:
        self._access, self._inner = access, function_of(inner)
        self._at_once = access.at_once if isinstance(access, PromptAccess) else _never
        passes = passes if passes is not None else Passes(lambda: 0.0)
        self._pass_of, self._wall_clock = passes.find, passes.clock

    def __call__(self, request: Received, /) -> Awaitable[Answer]:
        holder = self._pass_of((request.credential, request.endpoint))
        if holder is not None and holder.expires > (now := self._wall_clock()):
            holder.last_used = now
            principal = holder.principal
        else:
            known = self._at_once(request, request.endpoint, Role.SCORE)
            if known is None:
                return self._wait(request)
            principal = known
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
