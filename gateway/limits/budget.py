"""
What callers have left: one budget for each, whatever protocol they speak.

A budget is chosen by the settings' order: the caller's own exception, the endpoint's, the limits of everybody. Callers
can be many (every user of an identity provider is one), so the table is bounded, and who has been away longest is
forgotten; by then their buckets are full again, which is what a new one is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from gateway.core.access import Principal
from gateway.core.deadline import Clock
from gateway.core.errors import Overloaded
from gateway.limits.bucket import Bucket
from gateway.limits.config import CallerLimits, LimitsConfig

__all__ = ["Budget", "BudgetKey", "Budgets"]

BudgetKey = tuple[str, str, str]
"""Kind and name of the caller, and the endpoint where that counts apart, else empty."""

_PLACE_S = 0.1
"""When a caller with too many requests at once may come back: a place is free as soon as one of them is answered."""


class Budget:
    """What one caller has left. A bucket is None where there is no limit."""

    __slots__ = ("buckets", "concurrent", "in_flight", "key", "limits")

    def __init__(self, key: BudgetKey, limits: CallerLimits, now: float) -> None:
        self.key, self.limits, self.concurrent = key, limits, limits.concurrent
        self.in_flight = 0
        self.buckets = tuple(Bucket(rate, rate * limits.burst_s, now) if rate else None for rate in limits.rates)
        """For requests, rows and bytes."""

    def enter(self, size: int, now: float) -> None:
        """Let a request of ``size`` bytes in and charge it, or raise ``Overloaded`` and charge nothing."""
        if self.concurrent and self.in_flight >= self.concurrent:
            raise Overloaded(f"{self.in_flight} requests of this caller are in flight", _PLACE_S)
        requests, rows, octets = self.buckets
        wait = 0.0
        for bucket in (requests, rows, octets):
            if bucket is not None and (needed := bucket.wait(now)) > wait:
                wait = needed
        if wait:
            raise Overloaded("this caller is over its limit", wait)
        if requests is not None:
            requests.take(1.0)
        if octets is not None and size:
            octets.take(size)
        self.in_flight += 1

    def charge_rows(self, count: int) -> None:
        rows = self.buckets[1]
        if rows is not None:
            rows.take(count)


class Budgets:
    """All of them, made when their callers first come."""

    def __init__(self, config: LimitsConfig, clock: Clock) -> None:
        self._config, self.clock = config, clock
        self._only: str | None = None
        self._by_key: OrderedDict[BudgetKey, Budget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def install(self, endpoints: Collection[str]) -> None:
        """These are all endpoints from now on: budgets of others are freed."""
        self._only = next(iter(endpoints)) if len(endpoints) == 1 else None
        for key in [key for key in self._by_key if key[2] and key[2] not in endpoints]:
            del self._by_key[key]

    def of(self, principal: Principal, endpoint: str | None) -> Budget | None:
        """None for who has no limit. ``endpoint`` None stands for the only one."""
        config = self._config
        limits, apart = config.callers.get(principal.name), ""
        if limits is None and config.endpoints:
            named = endpoint or self._only or ""
            limits = config.endpoints.get(named)
            apart = named if limits is not None else ""
        if limits is None:
            limits = config
        if not limits.is_set:
            return None
        key = (principal.kind, principal.name, apart)
        budget = self._by_key.get(key)
        if budget is None:
            return self._new(key, limits)
        self._by_key.move_to_end(key)
        return budget

    def _new(self, key: BudgetKey, limits: CallerLimits) -> Budget:
        if len(self._by_key) >= self._config.max_callers:
            self._by_key.popitem(last=False)
        budget = self._by_key[key] = Budget(key, limits, self.clock())
        return budget
