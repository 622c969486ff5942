"""
Where the time of one request went: a mark at the end of each stage, read once, when the answer is encoded.

A mark is one clock read and two appends (0.1 µs), so it is always on; what is exported is decided later. Requests of
one kind pass the same stages, so names and durations are kept apart: whoever counts or prints them can prepare for a
sequence of names once.
"""

from __future__ import annotations

from time import perf_counter

__all__ = ["Timeline"]

_REMEMBERED = 1024

_forms: dict[tuple[str, ...], str] = {}
"""Sequence of stages → what it looks like in a header. Stages are ours, so there are few; bounded all the same."""


class Timeline:
    """The marks of one request; durations in seconds."""

    __slots__ = ("_at", "names", "seconds", "started")

    def __init__(self, started: float | None = None) -> None:
        self.started = self._at = perf_counter() if started is None else started
        self.names: list[str] = []
        """Stages in the order in which they ended."""
        self.seconds: list[float] = []
        """How long each took."""

    def mark(self, stage: str) -> None:
        """``stage`` ends now; it began where the one before it ended."""
        now = perf_counter()
        self.names.append(stage)
        self.seconds.append(now - self._at)
        self._at = now

    def add(self, stage: str, seconds: float) -> None:
        """A duration that somebody else measured, such as the worker's own compute time, within the last mark."""
        self.names.append(stage)
        self.seconds.append(seconds)

    @property
    def stages(self) -> list[tuple[str, float]]:
        return list(zip(self.names, self.seconds, strict=True))

    def total(self) -> float:
        """Seconds since the request was received."""
        return perf_counter() - self.started

    def server_timing(self) -> str:
        """The ``Server-Timing`` header's value (W3C Server Timing): durations in milliseconds."""
        key = tuple(self.names)
        form = _forms.get(key)
        if form is None:
            if len(_forms) >= _REMEMBERED:
                _forms.clear()
            form = _forms[key] = ", ".join([f"{stage};dur=%.3f" for stage in key])
        return form % tuple([seconds * 1000 for seconds in self.seconds])
