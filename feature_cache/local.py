"""
The copy of rows within the process: bounded, and used only while the store tells us of every change.

Three guards keep it right. A changed key is dropped when its invalidation comes. The whole copy is dropped when the
connection that brings invalidations is lost, and stays unused until there is a new one. And each row has a time to
live, in case both fail. A row is only taken in if since its fetch was sent neither its own key nor the whole copy was
dropped: ``epoch`` changes with every drop of the whole.

What was known when the store was lost is kept aside for a while, for features that are allowed to be stale; it is
never used once the store is back. Pure: the time is passed in.
"""

from __future__ import annotations

from collections import OrderedDict

from feature_cache.counters import Counters
from feature_cache.row import Row

__all__ = ["LocalCopy"]

_OVERHEAD = 400
"""Bytes of a row with its key, besides what grows with its values; measured for ten numbers, 800 in all."""


class _Entry:
    __slots__ = ("expires_at", "row", "size")

    def __init__(self, row: Row, size: int, expires_at: float) -> None:
        self.row, self.size, self.expires_at = row, size, expires_at


class LocalCopy:
    """Least recently used rows leave first. Times are monotonic seconds."""

    def __init__(self, *, max_rows: int, max_bytes: int, ttl: float, last_known_for: float, counters: Counters) -> None:
        self._max_rows, self._max_bytes, self._ttl, self._last_known_for = max_rows, max_bytes, ttl, last_known_for
        self._counters = counters
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._old: OrderedDict[bytes, _Entry] = OrderedDict()
        self._old_until = 0.0
        self._held = 0
        self.is_on = False
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        """An estimate of the memory that the rows take."""
        return self._held

    def get(self, key: bytes, now: float) -> Row | None:
        """The row, if it may be used now. Nothing is there while the copy is off."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at <= now:
            self.drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.row

    def put(self, key: bytes, row: Row, raw_size: int, epoch: int, now: float) -> None:
        """Take a row in that was fetched since ``epoch``."""
        if epoch != self.epoch or not self.is_on:
            return
        size = _OVERHEAD + len(key) + 4 * raw_size
        if size > self._max_bytes or not self._max_rows:
            return
        self.drop(key)
        self._entries[key] = _Entry(row, size, now + self._ttl)
        self._held += size
        while len(self._entries) > self._max_rows or self._held > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self._held -= oldest.size
            self._counters.evictions += 1

    def drop(self, key: bytes) -> None:
        """The key has changed."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._held -= entry.size

    def drop_all(self) -> None:
        """Everything has changed."""
        self.epoch += 1
        self._counters.flushes += 1
        self._entries.clear()
        self._old.clear()
        self._held = 0

    def empty(self) -> None:
        """Nothing is read here any more."""
        self.is_on = False
        self.epoch += 1
        self._entries.clear()
        self._old.clear()
        self._held = 0

    def suspend(self, now: float) -> None:
        """Changes are not told any more; what is known is set aside."""
        if not self.is_on:
            return
        self.is_on = False
        self.epoch += 1
        self._counters.flushes += 1
        self._old, self._entries = self._entries, OrderedDict()
        self._held = 0
        self._old_until = now + self._last_known_for

    def resume(self) -> None:
        """Changes are told from now on."""
        if self.is_on:
            return
        self.is_on = True
        self.epoch += 1
        self._old.clear()

    def last_known(self, key: bytes, now: float) -> Row | None:
        """What the store said before it was lost."""
        if now >= self._old_until:
            self._old.clear()
            return None
        entry = self._old.get(key)
        return None if entry is None else entry.row
