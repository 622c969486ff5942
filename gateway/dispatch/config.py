"""How rows gather into batches: the settings of one deployment's window, refused at once when they make no sense."""

from __future__ import annotations

import msgspec

from gateway.core.bounds import DAY_MS, MOST_BATCH, MOST_ROWS, expect_within

__all__ = ["BatchConfig"]


class BatchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There is no waiting time to set: rows leave when a worker has a place for them, and gather only until then."""

    max_rows: int = 64
    """Rows in one batch. A request with more is split, and its parts run side by side."""
    max_queue_rows: int = 4096
    """Rows that may wait for a place; a request that would exceed it is refused, unless nothing is waiting."""
    latency_goal_ms: float | None = None
    """What a batch may take at the worker. Set, it makes the row limit move between 1 and ``max_rows``."""

    def __post_init__(self) -> None:
        expect_within(self, 1, MOST_BATCH, "max_rows")
        expect_within(self, 1, MOST_ROWS, "max_queue_rows")
        expect_within(self, 0, DAY_MS, "latency_goal_ms", is_above=True)
        if self.max_queue_rows < self.max_rows:
            raise ValueError(f"max_queue_rows: expected at least max_rows ({self.max_rows})")
