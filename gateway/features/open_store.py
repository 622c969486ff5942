"""
A feature store that is in use: kept connected for as long as anybody may read through it, and not a moment longer.

When views change, another store is opened beside it. The old one is retired: nobody begins to read through it any more,
and it is closed when the last read that had begun is over. Reads have a deadline, so that is soon.
"""

from __future__ import annotations

import asyncio

from feature_cache.store import FeatureStore

__all__ = ["OpenStore", "Readers"]


class Readers:
    """Enter it to read; a few are entered at a time, and nobody waits to do so."""

    __slots__ = ("_are_gone", "_is_retired", "count")

    def __init__(self) -> None:
        self.count = 0
        """At this moment."""
        self._is_retired, self._are_gone = False, asyncio.Event()

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if self._is_retired and not self.count:
            self._are_gone.set()

    @property
    def is_retired(self) -> bool:
        return self._is_retired

    def retire(self) -> None:
        """There will be no more of them."""
        self._is_retired = True
        if not self.count:
            self._are_gone.set()

    async def gone(self) -> None:
        """Return when it was retired and the last one has left."""
        await self._are_gone.wait()


class OpenStore:
    """``run`` keeps it connected; ``readers.retire()`` ends that when the last one has left."""

    __slots__ = ("readers", "store")

    def __init__(self, store: FeatureStore) -> None:
        self.store, self.readers = store, Readers()

    async def run(self) -> None:
        """Until retired and left by all, or cancelled."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.store.run())
            await self.readers.gone()
            running.cancel()
