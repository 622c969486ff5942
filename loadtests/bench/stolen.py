"""
When a core was taken from this virtual machine, so that no difference of software is read from the moods of its host.

A hypervisor that shares its cores tells its guests how long each of them wanted to run and could not: *steal* in
/proc/stat, in ticks. A few such waits of ten milliseconds are the whole p99 of an endpoint that answers in one, and
they come in bursts of seconds, which fall on one side of a comparison or on the other. So what was under way at such a
moment can be left out, on both sides.

What is taken in pieces shorter than a tick shows only when they have come to one; such pieces stay in what is measured.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from loadtests.bench.cpu import stolen_seconds

__all__ = ["StolenTime"]

INTERVAL = 0.05
"""Seconds between two looks."""
LATE = 0.02
"""Seconds after which the kernel has told it: it counts at its own ticks."""
LOOK_SECONDS = 1.0
"""For the last one."""


class StolenTime:
    """Looks from entering the block until its end, in a thread of its own; afterwards it can be asked."""

    def __init__(self, cores: Collection[int]) -> None:
        self._cores = cores
        self._spans: list[tuple[float, float]] = []
        """Between two looks of which the second found more, on the monotonic clock, ascending."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stolen time", daemon=True)

    def met(self, start: float, end: float) -> bool:
        """Whether a core may have been taken between ``start`` and ``end``, on the monotonic clock."""
        at = bisect.bisect_left(self._spans, start, key=lambda span: span[1])
        return at < len(self._spans) and self._spans[at][0] <= end + LATE

    def look(self, read: Callable[[], str], wait: Callable[[], bool], clock: Callable[[], float]) -> None:
        """Until ``wait`` says that it is over; ``read`` gives the text of /proc/stat."""
        before, known = clock(), stolen_seconds(read(), self._cores)
        while not wait():
            now, found = clock(), stolen_seconds(read(), self._cores)
            if found > known:
                self._spans.append((before, now))
            before, known = now, found

    def _watch(self) -> None:
        self.look(Path("/proc/stat").read_text, lambda: self._end.wait(INTERVAL), time.monotonic)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(LOOK_SECONDS)
