"""
Everybody who was let in and has not heard yet: each hears once, at his deadline at the latest, and is then forgotten.

Whoever hears leaves nothing behind: not in the line, not with the alarm, and of a large request none of its parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from time import perf_counter_ns

from gateway.core.deadline import Clock
from gateway.core.errors import DeadlineExceeded, GatewayError
from gateway.core.rows import Rows
from gateway.dispatch import parts
from gateway.dispatch.alarm import Alarm
from gateway.dispatch.counters import NS, Counters
from gateway.dispatch.ticket import Ticket
from gateway.dispatch.window import Window

__all__ = ["Callers", "expired"]


class Callers:
    """Of one deployment; ``window`` is where their tickets wait."""

    def __init__(self, window: Window[Ticket], counters: Counters, clock: Clock) -> None:
        self._window = window
        self._counters = counters
        self._clock = clock
        self.alarm = Alarm(clock, self._on_deadline)
        """Must watch whoever is let in."""
        self._all_heard: asyncio.Event | None = None

    def put_parts(self, whole: Ticket, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        """In line go tickets of ``limit`` rows at most; ``whole`` hears when all of them are answered, or one fails."""
        for part in parts.cut(whole, limit, loop):
            part.reply.add_done_callback(partial(self._on_part, whole))
            self._window.put(part)

    def answer(self, tickets: Sequence[Ticket], answers: Sequence[Rows], now: float, compute: float) -> None:
        """
        Who expired meanwhile, or has left, hears nothing any more; ``compute`` is what the model took for all of them.
        """
        mark, compute_ns = perf_counter_ns(), int(compute * NS)
        number, took, queued = len(tickets), 0.0, 0.0
        for ticket, answer in zip(tickets, answers, strict=True):
            try:
                ticket.reply.set_result(answer)
            except asyncio.InvalidStateError:
                number -= 1
                continue
            if (timeline := ticket.timeline) is None:
                number -= 1  # of all parts together only the whole counts
                if ticket.parent is not None:
                    ticket.parent.compute += compute
                continue
            timeline.worker = mark
            timeline.compute = compute_ns
            born = ticket.born
            took += now - born
            queued += ticket.left - born
        counters = self._counters
        counters.succeeded += number
        counters.succeeded_time += took
        counters.queue += queued
        self.alarm.forget_all(tickets)
        if self._all_heard is not None:
            self._look_if_all_heard()

    def fail(self, ticket: Ticket, error: GatewayError) -> None:
        if not ticket.fail(error) or ticket.parent is not None:
            return
        ticket.give_up(perf_counter_ns())
        self._forget(ticket)
        self._counters.failure(self._clock() - ticket.born)
        for part in ticket.parts:
            self._window.remove(part)
            part.reply.cancel()

    def fail_all(self, tickets: Sequence[Ticket], error: GatewayError) -> None:
        for ticket in tickets:
            self.fail(ticket, error)

    def withdraw(self, ticket: Ticket) -> None:
        """He has left."""
        ticket.reply.cancel()
        ticket.give_up(perf_counter_ns())
        for part in ticket.parts or (ticket,):
            self._window.remove(part)
            part.reply.cancel()
        self._forget(ticket)

    async def all_heard(self) -> None:
        """Nobody may be let in any more."""
        self._all_heard = asyncio.Event()
        self._look_if_all_heard()
        await self._all_heard.wait()

    def dismiss(self, error: GatewayError) -> None:
        """Whoever is still here hears ``error``; no timer is left."""
        self.fail_all(self.alarm.stop(), error)

    def _on_part(self, whole: Ticket, reply: asyncio.Future[Rows]) -> None:
        outcome = parts.outcome(whole, reply)
        if isinstance(outcome, GatewayError):
            self.fail(whole, outcome)
        elif outcome is not None:
            self.answer([whole], [outcome], self._clock(), whole.compute)

    def _on_deadline(self, ticket: Ticket) -> None:
        self._window.remove(ticket)
        self.fail(ticket, expired())
        self._look_if_all_heard()

    def _forget(self, ticket: Ticket) -> None:
        self.alarm.forget(ticket)
        self._look_if_all_heard()

    def _look_if_all_heard(self) -> None:
        if self._all_heard is not None and not self.alarm:
            self._all_heard.set()


def expired() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the answer was there")
