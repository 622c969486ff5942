"""What one deployment's dispatch has done since start, in the form that the statistics of the wire protocols want."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.core.catalog import Stats
from gateway.core.scoring import Scored

__all__ = ["Counters"]

NS = 1_000_000_000


class Counters:
    """Sums in seconds, a few additions per batch and per request; turned into whole nanoseconds when read."""

    __slots__ = (
        "_batches",
        "_last",
        "_wall_clock",
        "compute",
        "failed",
        "failed_time",
        "queue",
        "rows",
        "succeeded",
        "succeeded_time",
    )

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self.succeeded = self.failed = self.rows = 0
        self.succeeded_time = self.failed_time = self.queue = self.compute = 0.0
        self._batches: dict[int, list[float]] = {}
        self._last = 0.0

    def batch(self, rows: int, scored: Scored) -> None:
        """A batch was answered."""
        self.rows += rows
        self.compute += scored.compute
        self._last = self._wall_clock()
        entry = self._batches.get(rows)
        if entry is None:
            entry = self._batches[rows] = [0, 0.0]
        entry[0] += 1
        entry[1] += scored.compute

    def success(self, took: float, queued: float) -> None:
        """A request was answered."""
        self.succeeded += 1
        self.succeeded_time += took
        self.queue += queued

    def failure(self, took: float) -> None:
        """A request was refused, failed or expired. One whose caller left is neither."""
        self.failed += 1
        self.failed_time += took

    def stats(self) -> Stats:
        batches = {rows: (int(count), int(seconds * NS)) for rows, (count, seconds) in sorted(self._batches.items())}
        return Stats(
            success_count=self.succeeded,
            success_ns=int(self.succeeded_time * NS),
            fail_count=self.failed,
            fail_ns=int(self.failed_time * NS),
            queue_ns=int(self.queue * NS),
            compute_ns=int(self.compute * NS),
            inference_count=self.rows,
            execution_count=sum(count for count, _ in batches.values()),
            last_inference_ms=int(self._last * 1000),
            batches=batches,
        )
