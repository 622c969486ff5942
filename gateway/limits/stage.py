"""
The limits stages: a caller who has used up what it may is told when to come back.

There are two, because what a request costs is known in two steps. ``Limit`` stands behind auth, which knows the
caller, and charges the request and its bytes; ``ChargeRows`` stands behind features, which has counted the rows. A
request that turns out to be larger than what is left is served, and the caller's next one waits the longer for it: to
refuse it after the work of reading it would have cost as much. Neither stage is there when nothing is limited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.core.request import Answer, Authenticated, Enriched
from gateway.core.service import Service, function_of
from gateway.limits.budget import Budget, Budgets

__all__ = ["ChargeRows", "Limit"]


class Limit:
    """Lets in who has something left. ``on_use`` is told whose budget was used, to share that with other gateways."""

    def __init__(
        self,
        budgets: Budgets,
        inner: Service[Authenticated, Answer],
        *,
        on_use: Callable[[Budget], None] | None = None,
    ) -> None:
        self._budgets, self._inner, self._on_use, self._clock = budgets, function_of(inner), on_use, budgets.clock

    def __call__(self, request: Authenticated, /) -> Awaitable[Answer]:
        budget = self._budgets.of(request.principal, request.received.endpoint)
        return self._inner(request) if budget is None else self._within(budget, request)

    async def _within(self, budget: Budget, request: Authenticated) -> Answer:
        budget.enter(request.received.size, self._clock())
        if self._on_use is not None:
            self._on_use(budget)
        try:
            return await self._inner(request)
        finally:
            budget.in_flight -= 1


class ChargeRows:
    """Charges the rows of a request that ``Limit`` has let in."""

    def __init__(
        self,
        budgets: Budgets,
        inner: Service[Enriched, Answer],
        *,
        on_use: Callable[[Budget], None] | None = None,
    ) -> None:
        self._budgets, self._inner, self._on_use = budgets, function_of(inner), on_use

    def __call__(self, request: Enriched, /) -> Awaitable[Answer]:
        budget = self._budgets.of(request.principal, request.deployment.endpoint)
        if budget is not None and budget.buckets[1] is not None:
            budget.charge_rows(request.rows.count)
            if self._on_use is not None:
                self._on_use(budget)
        return self._inner(request)
