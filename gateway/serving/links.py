"""
The pools of workers that one gateway process is linked to: one per deployment's set of workers, shared by all lanes
that want these workers, and given up when no lane does any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from gateway.pool.config import PoolConfig
from gateway.pool.pool import Pool
from gateway.pool.tls import link_context, refuse_open_links

__all__ = ["Addresses", "Links"]

Addresses = tuple[str, ...]
"""Of the workers of one deployment."""


class Links:
    """``run`` must be running for any of them to connect. Raises ``ConfigError`` for certificates that do not fit."""

    def __init__(self, settings: PoolConfig) -> None:
        self._settings, self._tls = settings, link_context(settings)
        self._pools: dict[Addresses, Pool] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()

    def to(self, name: str, addresses: Addresses) -> Pool:
        """The pool of these workers. Raises ``ConfigError`` for addresses beyond this machine without TLS."""
        pool = self._pools.get(addresses)
        if pool is None:
            refuse_open_links(self._settings, addresses)
            pool = self._pools[addresses] = Pool(name, addresses, self._settings, tls=self._tls)
            if self._tasks is not None:
                self._tasks.create_task(pool.run(), name=f"links of {name}")
        return pool

    async def keep(self, used: Collection[Addresses]) -> None:
        """Close those that are not among ``used``."""
        unused = [addresses for addresses in self._pools if addresses not in used]
        await asyncio.gather(*(self._pools.pop(addresses).close() for addresses in unused))

    async def run(self) -> None:
        """Until ``close``, or cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for addresses, pool in self._pools.items():
                tasks.create_task(pool.run(), name=f"links to {addresses[0]}")
            try:
                await self._stop.wait()
            finally:
                self._tasks = None
            await self.keep(())

    def close(self) -> None:
        """Let go of all workers."""
        self._stop.set()
