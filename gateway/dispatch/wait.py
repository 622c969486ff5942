"""
How long a row that comes now would wait, judged by how fast rows have been leaving while others waited.

The rate is measured only between completions with a line in front of the workers: without one, completions show
what was asked for and not what could be done. Where nothing has been measured nothing is predicted, and only the
size of the line limits who may join. Pure: times are passed in.
"""

from __future__ import annotations

from gateway.core.usual import Usual

__all__ = ["WaitForecast"]

WEIGHT = 0.1
"""Of the newest completion; about the last twenty count."""

HEADROOM = 1.25
"""A forecast is off by some percent, and whoever is let in and expires at the worker has cost a place for nothing."""

UNKNOWN_RETRY = 1.0
SHORTEST_RETRY = 0.05


class WaitForecast:
    """Exponentially weighted averages of rows and seconds between completions, and of a batch's own duration."""

    __slots__ = ("_gap", "_last", "_rows", "_usual", "rate")

    def __init__(self) -> None:
        self._rows = 0.0
        self._gap = 0.0
        self._usual = Usual(WEIGHT)
        self._last: float | None = None
        self.rate: float | None = None
        """Rows per second when busy; None until it was measured."""

    @property
    def batch(self) -> float:
        """Seconds from leaving to the answer that a batch usually takes; 0 where nothing is known."""
        return self._usual.value

    def completed(self, rows: int, sent: float, now: float, is_line: bool) -> None:
        """A batch of ``rows`` that left at ``sent`` was answered ``now``; ``is_line``: rows are waiting still."""
        took = now - sent
        if self._last is not None:
            self._learn(rows, now - self._last)
        elif self._gap and rows * self._gap > self._rows * took:
            # Faster than the forecast, even alone: without this a rate that was once too low would stay so, because
            # it keeps the line so short that it is never measured again.
            self._learn(rows, took)
        self._usual.learn(took)
        self._last = now if is_line else None

    def interrupted(self) -> None:
        """A worker was lost: the time until the next completion says nothing about the rate."""
        self._last = None

    def wait(self, rows_ahead: int) -> float:
        """Seconds until the answer of a row that has ``rows_ahead`` rows before it; 0 where nothing is known."""
        rate = self.rate
        return 0.0 if rate is None else (rows_ahead / rate + self.batch) * HEADROOM

    def comfort(self, rows: int) -> float:
        """Who has this many seconds left is never in ``excess`` of a line of ``rows``, as exactly as floats go."""
        rate = self.rate
        return 0.0 if rate is None else ((rows + 1) / rate + self.batch) * HEADROOM

    def retry_after(self, rows_too_many: float) -> float:
        """Seconds until ``rows_too_many`` rows will have left."""
        rate = self.rate
        return UNKNOWN_RETRY if rate is None else max(SHORTEST_RETRY, rows_too_many / rate)

    def excess(self, rows_ahead: int, left: float) -> float:
        """Rows by which the line is too long for a caller who has ``left`` seconds; not above 0 when it is not."""
        rate = self.rate
        if rate is None:
            return 0.0
        working = left / HEADROOM - self.batch
        return rows_ahead - working * rate if working > 0.0 else rows_ahead

    def _learn(self, rows: int, seconds: float) -> None:
        self._rows += WEIGHT * (rows - self._rows) if self._rows else rows
        self._gap += WEIGHT * (seconds - self._gap) if self._gap else seconds
        self.rate = self._rows / self._gap if self._rows > 0 and self._gap > 0 else None
