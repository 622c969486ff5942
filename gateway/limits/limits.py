"""
The limits of one gateway process, put together: each part stands in the request path only where something is limited.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.core.access import Access
from gateway.core.deadline import Clock
from gateway.core.request import Answer, Authenticated, Enriched
from gateway.core.service import Service
from gateway.limits.budget import Budgets
from gateway.limits.config import LimitsConfig
from gateway.limits.login_failures import SlowFailures
from gateway.limits.shared import SharedLimits, client_for
from gateway.limits.stage import ChargeRows, Limit

__all__ = ["Limits"]


class Limits:
    """Raises ``ConfigError``."""

    def __init__(self, config: LimitsConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._budgets = Budgets(config, clock)
        client = client_for(config) if config.limits_anybody else None
        self._shared = SharedLimits(client, clock) if client is not None else None
        self._on_use = self._shared.used if self._shared is not None else None

    def install(self, endpoints: Collection[str]) -> None:
        """These are all endpoints from now on."""
        self._budgets.install(endpoints)

    def slow_failures(self, access: Access) -> Access:
        """``access``, which answers ever more failures of one address with ``Overloaded``."""
        config = self._config
        if not config.login_failures:
            return access
        return SlowFailures(access, failures=config.login_failures, window=config.login_window_s, clock=self._clock)

    def let_in(self, inner: Service[Authenticated, Answer]) -> Service[Authenticated, Answer]:
        """``inner`` behind the callers' budgets."""
        return Limit(self._budgets, inner, on_use=self._on_use) if self._config.limits_anybody else inner

    def charge_rows(self, inner: Service[Enriched, Answer]) -> Service[Enriched, Answer]:
        """``inner`` behind what charges rows to the budgets."""
        return ChargeRows(self._budgets, inner, on_use=self._on_use) if self._config.limits_rows else inner

    async def run(self) -> None:
        """Shares budgets with the other gateways until cancelled; returns at once where that is not configured."""
        if self._shared is not None:
            await self._shared.run()
