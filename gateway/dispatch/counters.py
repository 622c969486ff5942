"""What one deployment's dispatch has done since start, in the form that the statistics of the wire protocols want."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from gateway.core.catalog import Stats

__all__ = ["Counters"]

NS = 1_000_000_000


class _Size:
    """Of batches that had one number of rows."""

    __slots__ = ("batches", "compute")

    def __init__(self) -> None:
        self.batches = 0
        self.compute = 0.0


class Counters:
    """Sums in seconds, a few additions per batch; turned into whole nanoseconds when read."""

    __slots__ = (
        "_last",
        "_sizes",
        "_wall_clock",
        "failed",
        "failed_time",
        "queue",
        "succeeded",
        "succeeded_time",
    )

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self.succeeded = self.failed = 0
        """Requests; who answers some of them adds to this and to what they took and waited."""
        self.succeeded_time = self.failed_time = self.queue = 0.0
        self._sizes: defaultdict[int, _Size] = defaultdict(_Size)
        """Of batches, by their rows."""
        self._last = 0.0

    def batch(self, rows: int, compute: float) -> None:
        """A batch was answered."""
        self._last = self._wall_clock()
        size = self._sizes[rows]
        size.batches += 1
        size.compute += compute

    def failure(self, took: float) -> None:
        """A request was refused, failed or expired. One whose caller left is neither."""
        self.failed += 1
        self.failed_time += took

    def stats(self) -> Stats:
        sizes = sorted(self._sizes.items())
        return Stats(
            success_count=self.succeeded,
            success_ns=int(self.succeeded_time * NS),
            fail_count=self.failed,
            fail_ns=int(self.failed_time * NS),
            queue_ns=int(self.queue * NS),
            compute_ns=int(sum(size.compute for _, size in sizes) * NS),
            inference_count=sum(rows * size.batches for rows, size in sizes),
            execution_count=sum(size.batches for _, size in sizes),
            last_inference_ms=int(self._last * 1000),
            batches={rows: (size.batches, int(size.compute * NS)) for rows, size in sizes},
        )
