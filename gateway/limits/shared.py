"""
One budget for all gateways, by way of a Redis that they share; no request ever waits for it.

Every gateway lets requests in by its own buckets. Ten times a second it tells the store what was taken of each budget
that was used, and learns what is left when everybody's use is counted; from then on that is the level of its bucket. So
within a tenth of a second each gateway may give away what another gives away too, but it comes off the common level,
below zero if need be, and everybody waits until that is paid: over time exactly the rate gets through.

While the store is away each gateway goes by its own count, which is up to the limit per gateway; said once in the log,
as is the return. What was used meanwhile is not charged later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.core.deadline import Clock
from gateway.core.errors import ConfigError
from gateway.limits.budget import Budget
from gateway.limits.config import LimitsConfig

__all__ = ["SharedLimits", "client_for"]

log = structlog.get_logger()

INTERVAL_S = 0.1
_TIMEOUT_S = 0.5
_AWAY_S = 1.0
"""Between two tries while the store is away."""
_AT_ONCE = 1000
"""Budgets in one round trip; the rest goes with the next."""
_KEEP_S = 10
"""A budget that is full is forgotten after this."""

_SCRIPT = f"""
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local kept = redis.call('HMGET', KEYS[1], 'at', '1', '2', '3')
local elapsed = math.max(0, now - (tonumber(kept[1]) or now))
local levels, longest = {{}}, 0
for i = 1, 3 do
  local rate, capacity, taken = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local level = math.min(capacity, (tonumber(kept[i + 1]) or capacity) + elapsed * rate) - taken
  if rate > 0 then longest = math.max(longest, (capacity - level) / rate) end
  levels[i] = string.format('%.6f', level)
end
redis.call('HSET', KEYS[1], 'at', string.format('%.6f', now), '1', levels[1], '2', levels[2], '3', levels[3])
redis.call('PEXPIRE', KEYS[1], math.ceil((longest + {_KEEP_S}) * 1000))
return levels
"""


def client_for(config: LimitsConfig) -> Redis | None:
    """A client for the configured store, not connected yet; None without one. Raises ``ConfigError``."""
    url = config.redis_url
    if config.redis_url_file is not None:
        try:
            url = config.redis_url_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("limits.redis_url_file", "expected a file with an address in it") from error
    if not url:
        return None
    try:
        client: Redis = Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
    except ValueError as error:
        # The error may repeat the address, and with it a password.
        raise ConfigError("limits.redis_url", "expected an address such as rediss://host:6379/0") from error
    return client


class SharedLimits:
    """``used`` is the stages' ``on_use``; ``run`` does the sharing and must be running."""

    def __init__(
        self,
        client: Redis,
        clock: Clock,
        *,
        prefix: str = "lockgate:limits:",
        pause: Callable[[float], Any] | None = None,
    ) -> None:
        self._client, self._clock, self._prefix = client, clock, prefix
        self._pause = pause or asyncio.sleep
        self._script = client.register_script(_SCRIPT)
        self._used: dict[Budget, None] = {}
        self._is_away = False

    def used(self, budget: Budget) -> None:
        """Something was taken of it; cheap."""
        self._used[budget] = None

    async def run(self) -> None:
        """Until cancelled; then what was not told yet is not told any more."""
        try:
            while True:
                await self._pause(_AWAY_S if self._is_away else INTERVAL_S)
                if self._used:
                    await self.share()
                    # The client sends with ``asyncio.wait_for``, which before Python 3.12 may swallow a cancellation.
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise asyncio.CancelledError
        finally:
            await self._client.aclose()

    async def share(self) -> None:
        """One round trip."""
        budgets = list(self._used)[:_AT_ONCE]
        pipe = self._client.pipeline(transaction=False)
        for budget in budgets:
            del self._used[budget]
            arguments: list[float] = []
            for bucket in budget.buckets:
                if bucket is None:
                    arguments += (0.0, 0.0, 0.0)
                else:
                    arguments += (bucket.rate, bucket.capacity, bucket.taken)
                    bucket.taken = 0.0
            await self._script(keys=[self._key(budget)], args=arguments, client=pipe)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                answers = await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            return
        now = self._clock()
        for budget, levels in zip(budgets, answers, strict=True):
            for bucket, level in zip(budget.buckets, levels, strict=True):
                if bucket is not None:
                    bucket.agree(float(level), now)
        if self._is_away:
            self._is_away = False
            log.info("limits.shared_again")

    def _lost(self, error: Exception) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("limits.counted_alone", reason=type(error).__name__)

    def _key(self, budget: Budget) -> str:
        """Names are chosen by others and may hold anything; a digest of one holds nothing."""
        return self._prefix + sha256("\0".join(budget.key).encode("utf-8", "surrogateescape")).hexdigest()[:32]
