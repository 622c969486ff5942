"""The auth stage: who is known at once is not waited for, and everybody else is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from gateway.auth.stage import Authenticate
from gateway.core.access import Access, Caller, Principal, Role
from gateway.core.errors import Unauthenticated
from gateway.core.request import Answer, Authenticated
from tests.support.edge_service import PRICE, rows_of
from tests.support.requests import deployment, received

ANSWER = Answer(deployment(), rows_of([PRICE], (1.0,)))
ANNA = Principal("anna")


class Waits:
    """Always has to ask somebody."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[str | None, Role]] = []

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        await asyncio.sleep(0)
        return self.verdict(endpoint, role)

    def verdict(self, endpoint: str | None, role: Role) -> Principal:
        self.asked.append((endpoint, role))
        if self.error is not None:
            raise self.error
        return ANNA


class Knows(Waits):
    """Need not ask for anybody but callers of ``slow``."""

    def at_once(self, caller: Caller, endpoint: str | None, role: Role) -> Principal | None:
        return None if endpoint == "slow" else self.verdict(endpoint, role)


class Inner:
    def __init__(self) -> None:
        self.seen: list[Authenticated] = []

    def __call__(self, request: Authenticated, /) -> Awaitable[Answer]:
        self.seen.append(request)
        return self._answer()

    async def _answer(self) -> Answer:
        return ANSWER


@pytest.mark.parametrize("access", [Waits(), Knows()])
@pytest.mark.parametrize("endpoint", ["price", "slow", None])
async def test_a_request_goes_on_with_the_principal_that_the_access_gave(access: Waits, endpoint: str | None) -> None:
    access.asked.clear()
    inner, request = Inner(), received(endpoint)
    answer = await Authenticate(access, inner)(request)
    stages = [stage for stage, _ in request.timeline.stages]

    assert (answer, inner.seen) == (ANSWER, [Authenticated(request, ANNA)])
    assert (access.asked, stages) == ([(endpoint, Role.SCORE)], ["auth"])


@pytest.mark.parametrize("access", [Waits(Unauthenticated("no")), Knows(Unauthenticated("no"))])
@pytest.mark.parametrize("endpoint", ["price", "slow"])
async def test_who_is_refused_gets_no_further(access: Access, endpoint: str) -> None:
    inner, request = Inner(), received(endpoint)
    with pytest.raises(Unauthenticated):
        await Authenticate(access, inner)(request)

    assert (inner.seen, request.timeline.stages) == ([], [])


async def test_who_is_known_at_once_is_with_the_next_stage_before_anything_is_awaited() -> None:
    inner = Inner()
    answering = Authenticate(Knows(), inner)(received())
    seen = len(inner.seen)

    assert (seen, await answering) == (1, ANSWER)
