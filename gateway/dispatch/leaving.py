"""
Who leaves next: batches that failed and are to be tried again, and behind them the line.

Whoever has gone by then, or has too little time, is left out and told so. Pure, but for those whom it tells.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter_ns

from gateway.core.errors import DeadlineExceeded, GatewayError
from gateway.dispatch.attempt import Attempt
from gateway.dispatch.callers import Callers, expired
from gateway.dispatch.ticket import Ticket
from gateway.dispatch.wait import WaitForecast
from gateway.dispatch.window import Window

__all__ = ["Leaving"]


class Leaving:
    """Of one deployment."""

    __slots__ = ("_callers", "_forecast", "_window", "again")

    def __init__(self, window: Window[Ticket], forecast: WaitForecast, callers: Callers) -> None:
        self._window = window
        self._forecast = forecast
        self._callers = callers
        self.again: deque[Attempt] = deque()
        """What is to be tried again, before anything from the window."""

    def next(self, limit: int, now: float) -> Attempt | None:
        """One batch of at most ``limit`` rows, as of ``now``; None when nobody is left."""
        window = self._window
        while True:
            if self.again:
                attempt = self.again.popleft()
            elif window.rows:
                attempt = Attempt(window.take(limit))
            else:
                return None
            # With others in line a place is worth more than a faint hope: whoever would most likely expire at the
            # worker would take the time of somebody behind, and after a pause that goes on from one to the next.
            soonest = now + self._forecast.batch if window.rows else now
            latest, mark, left_out = now, perf_counter_ns(), 0
            for ticket in attempt.tickets:
                deadline = ticket.deadline
                if ticket.reply.done() or deadline <= soonest:
                    self._callers.fail(ticket, expired() if deadline <= now else _too_late())
                    left_out += 1
                    continue
                if deadline > latest:  # noqa: PLR1730  # max() would be a call per request
                    latest = deadline
                if not ticket.left:
                    ticket.left = now
                    if (timeline := ticket.timeline) is not None:
                        timeline.queue = mark
                    elif ticket.parent is not None:
                        ticket.parent.leave(now, mark)
            if left_out:  # they are done by now, whoever did it
                attempt.tickets = [ticket for ticket in attempt.tickets if not ticket.reply.done()]
                if not attempt.tickets:
                    continue
            attempt.deadline, attempt.sent = latest, now
            return attempt

    def abandon(self, error: GatewayError) -> None:
        """Nobody will serve those who wait: better to say so now than at the deadline."""
        self._callers.fail_all(self._window.clear(), error)
        while self.again:
            self._callers.fail_all(self.again.popleft().tickets, error)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("too little time was left to compute the answer")
