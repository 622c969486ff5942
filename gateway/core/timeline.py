"""
Where the time of one request went: a mark at the end of each stage, read once, when the answer is encoded.

A mark is one clock read and one append (0.1 µs), so it is always on; what is exported is decided later.
"""

from __future__ import annotations

from time import perf_counter

__all__ = ["Timeline"]


class Timeline:
    """The marks of one request; durations in seconds."""

    __slots__ = ("_at", "_marks", "started")

    def __init__(self, started: float | None = None) -> None:
        self.started = self._at = perf_counter() if started is None else started
        self._marks: list[tuple[str, float]] = []

    def mark(self, stage: str) -> None:
        """``stage`` ends now; it began where the one before it ended."""
        now = perf_counter()
        self._marks.append((stage, now - self._at))
        self._at = now

    def add(self, stage: str, seconds: float) -> None:
        """A duration that somebody else measured, such as the worker's own compute time, within the last mark."""
        self._marks.append((stage, seconds))

    @property
    def stages(self) -> list[tuple[str, float]]:
        return self._marks

    def total(self) -> float:
        """Seconds since the request was received."""
        return perf_counter() - self.started

    def server_timing(self) -> str:
        """The ``Server-Timing`` header's value (W3C Server Timing): durations in milliseconds."""
        return ", ".join([f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in self._marks])
