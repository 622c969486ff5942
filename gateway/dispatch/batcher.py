"""
Sends the rows of one deployment to its workers, in batches, and gives every caller its own answer back.

*Work-conserving*: rows that arrive in one turn of the event loop leave together at the end of that turn while the
scorer has places; when all are taken, rows gather, and leave the moment a place is free. There is no timer between a
row and an idle worker. The decisions (what makes a batch, how large it may be, who is let in, who is out of time) are
in pure classes beside this file; here is what must wait for something.

What a caller can rely on: a ticket resolves exactly once, at its deadline at the latest, whatever happens to the
batch it is in; what one caller does (leave, fail, expire) is never seen by another.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns
from typing import cast

import structlog

from gateway.core.catalog import Stats
from gateway.core.deadline import Clock, Deadline
from gateway.core.errors import (
    DeadlineExceeded,
    GatewayError,
    NotReady,
    Overloaded,
    WorkerFailed,
)
from gateway.core.rows import Rows
from gateway.core.scoring import Scored, Scorer, WorkerLost
from gateway.core.timeline import Timeline
from gateway.dispatch.alarm import Alarm
from gateway.dispatch.attempt import Attempt, following
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.counters import Counters
from gateway.dispatch.limit import RowLimit
from gateway.dispatch.merge import join, merge, split
from gateway.dispatch.ticket import Ticket, TicketOfOneTry
from gateway.dispatch.wait import WaitForecast
from gateway.dispatch.window import Window

__all__ = ["Batcher"]

log = structlog.get_logger()

_QUIET_TURNS = 6
"""Of the loop. Measured with grpc.aio: 2 bring nothing, 10 no more than 6. An empty turn takes about a microsecond."""


class Batcher:
    """Needs a running loop from the first ``accept`` on; owns the tasks it starts until ``close`` returns."""

    def __init__(
        self,
        name: str,
        config: BatchConfig,
        scorer: Scorer,
        *,
        is_idempotent: bool = True,
        clock: Clock = time.monotonic,
        counters: Counters | None = None,
    ) -> None:
        self.name = name
        """``endpoint/deployment``, for logs and messages."""
        self._config = config
        self._scorer = scorer
        self._is_idempotent = is_idempotent
        self._clock = clock
        goal = config.latency_goal_ms
        self._limit = RowLimit(config.max_rows, None if goal is None else goal / 1000)
        self._forecast = WaitForecast()
        self._window: Window[Ticket] = Window()
        self._alarm = Alarm(clock, self._on_deadline)
        self._again: deque[Attempt] = deque()
        """Batches that failed and are to be tried again, before anything from the window."""
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn_is_due = False
        self._is_crowded = False
        """Whether the last batch had company."""
        self._is_closed = False
        self._closed_for = ""
        self._drained: asyncio.Event | None = None
        self._counters = counters or Counters()
        scorer.on_place(self._on_place)

    def accept(
        self, rows: Rows, deadline: Deadline, timeline: Timeline | None = None, kind: type[Ticket] = Ticket
    ) -> Ticket:
        """
        A place in line. Await ``reply`` of the ticket, and ``withdraw`` it if that is cancelled.

        Raises ``Overloaded``, ``NotReady`` or ``DeadlineExceeded`` at once where waiting would be in vain.
        """
        now = self._clock()
        places = self._scorer.places
        self._check_admission(rows, deadline, now, places)
        loop = asyncio.get_running_loop()
        ticket = kind(rows, deadline, loop.create_future(), now, timeline=timeline)
        if rows.count <= self._limit.rows:
            self._window.put(ticket)
        else:
            self._put_parts(ticket, loop)
        self._alarm.watch(ticket, now)
        if not self._turn_is_due and (places > 0 or self._is_full()):
            self._start_turn(loop)
        return ticket

    def accept_once(self, rows: Rows, deadline: Deadline) -> Ticket:
        """The same for rows that are not to be tried again when a worker is lost with them."""
        return self.accept(rows, deadline, None, TicketOfOneTry)

    def withdraw(self, ticket: Ticket) -> None:
        """The caller has left: rows that still wait leave the line, rows at a worker are ignored when they return."""
        ticket.reply.cancel()
        for part in ticket.parts or (ticket,):
            self._window.remove(part)
            part.reply.cancel()
        self._settle(ticket)

    @property
    def rows_waiting(self) -> int:
        return self._window.rows

    @property
    def rows_in_flight(self) -> int:
        return self._in_flight

    @property
    def row_limit(self) -> int:
        """Rows that a batch may have now."""
        return self._limit.rows

    def stats(self) -> Stats:
        return self._counters.stats()

    async def close(self, drain: float, why: str = "the gateway is shutting down") -> None:
        """Take nothing more; return when everything accepted is answered, after ``drain`` seconds at the latest."""
        self._closed_for = why
        self._is_closed = True
        self._drained = asyncio.Event()
        if not self._alarm:
            self._drained.set()
        try:
            async with asyncio.timeout(drain):
                await self._drained.wait()
        except TimeoutError:
            log.warning("dispatch.drain_ended", deployment=self.name, rows=self._window.rows + self._in_flight)
        finally:
            for ticket in self._alarm.stop():
                self._fail(ticket, NotReady(why))
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._scorer.off_place(self._on_place)

    # --- who is let in -----------------------------------------------------------------------------------------

    def _check_admission(self, rows: Rows, deadline: Deadline, now: float, places: int) -> None:
        waiting = self._window.rows
        error: GatewayError
        if deadline <= now:
            error = DeadlineExceeded("no time was left when the request came to its turn")
        elif self._is_closed:
            error = NotReady(self._closed_for)
        elif places <= 0 and not self._scorer.is_ready:  # whoever has a place is ready
            error = NotReady(f"no worker of {self.name} can serve at the moment")
        elif waiting and waiting + rows.count > self._config.max_queue_rows:
            excess = waiting + rows.count - self._config.max_queue_rows
            error = Overloaded(f"{waiting} rows are waiting", self._forecast.retry_after(excess))
        elif waiting and (excess_rows := self._forecast.excess(waiting + self._in_flight, deadline - now)) > 0:
            error = Overloaded(
                f"{waiting} rows are waiting, too many for the time left", self._forecast.retry_after(excess_rows)
            )
        else:
            return
        self._counters.failure(0.0)
        raise error

    def _put_parts(self, whole: Ticket, loop: asyncio.AbstractEventLoop) -> None:
        number = -(-whole.rows.count // self._limit.rows)
        size = -(-whole.rows.count // number)  # of one size, so that parallel workers finish together
        starts = range(0, whole.rows.count, size)
        kind = type(whole)
        whole.parts = [
            kind(
                whole.rows.cut(start, min(start + size, whole.rows.count)),
                whole.deadline,
                loop.create_future(),
                whole.born,
                parent=whole,
            )
            for start in starts
        ]
        for part in whole.parts:
            part.reply.add_done_callback(lambda reply: self._on_part(whole, reply))
            self._window.put(part)

    def _on_part(self, whole: Ticket, reply: asyncio.Future[Scored]) -> None:
        if reply.cancelled() or whole.is_done:
            if not reply.cancelled():
                reply.exception()  # seen: asyncio would complain otherwise
            return
        error = reply.exception()
        if isinstance(error, GatewayError):
            self._fail(whole, error)
        elif all(part.is_answered for part in whole.parts):
            try:
                self._answer(whole, join([part.reply.result() for part in whole.parts]), self._clock())
            except WorkerFailed as mismatch:
                self._fail(whole, mismatch)

    # --- what leaves when --------------------------------------------------------------------------------------

    def _on_place(self) -> None:
        if not self._window and not self._again:
            return
        if not self._scorer.is_ready:
            self._abandon_waiting(NotReady(f"no worker of {self.name} can serve at the moment"))
        elif not self._turn_is_due and (self._scorer.places > 0 or self._is_full()):
            self._start_turn(asyncio.get_running_loop())

    def _is_full(self) -> bool:
        """Whether a full batch waits that some worker could have ahead of its time: nothing can join it any more."""
        return self._window.rows >= self._limit.rows and self._scorer.spare > 0

    def _start_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        # A task starts at the end of the current turn of the loop: what arrives until then leaves with it.
        self._turn_is_due = True
        self._tasks.add(loop.create_task(self._turn()))

    async def _turn(self) -> None:
        """One batch, from the window to its callers."""
        try:
            if not self._again and (self._in_flight or self._is_crowded):
                await self._gather()
            self._turn_is_due = False
            places = self._scorer.places
            attempt = self._next_attempt() if places > 0 or self._is_full() else None
            if attempt is not None:
                if (self._window or self._again) and (places > 1 or (self._is_full() and self._scorer.spare > 1)):
                    self._start_turn(asyncio.get_running_loop())
                self._is_crowded = len(attempt.tickets) > 1
                await self._deliver(attempt)
        finally:
            # Here rather than in a done callback, which would cost a turn of the loop per batch.
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _gather(self) -> None:
        """
        Let those join whose requests have arrived but were not handed over yet.

        grpc.aio hands over one request per turn of the loop, and a batch of one costs the worker link as much as a
        batch of many: with 64 callers in flight batches had 1.1 rows, and a row cost 2.5 times as much. So under load
        a batch leaves when several turns in a row have brought nobody new. A lone request never waits.
        """
        quiet, rows = 0, self._window.rows
        while quiet < _QUIET_TURNS and rows < self._limit.rows and self._scorer.places > 0:
            await asyncio.sleep(0)
            quiet = 0 if self._window.rows > rows else quiet + 1
            rows = self._window.rows

    def _next_attempt(self) -> Attempt | None:
        while self._again or self._window:
            attempt = self._again.popleft() if self._again else Attempt(self._window.take(self._limit.rows))
            now = self._clock()
            # With others in line a place is worth more than a faint hope: whoever would most likely expire at the
            # worker would take the time of somebody behind, and after a pause that goes on from one to the next.
            soonest = now + self._forecast.batch if self._window else now
            live = []
            for ticket in attempt.tickets:
                if ticket.reply.done():
                    continue
                if ticket.deadline <= soonest:
                    self._fail(ticket, _expired() if ticket.deadline <= now else _too_late())
                    continue
                live.append(ticket)
                if not ticket.left:
                    self._mark_left(ticket, now)
            if live:
                attempt.tickets = live
                return attempt
        return None

    def _mark_left(self, ticket: Ticket, now: float) -> None:
        ticket.left = now
        whole = ticket.parent
        if whole is not None:
            if whole.left:
                return
            whole.left = now
            ticket = whole
        if ticket.timeline is not None:
            ticket.timeline.queue = perf_counter_ns()

    async def _deliver(self, attempt: Attempt) -> None:
        tickets = attempt.tickets
        rows = merge([ticket.rows for ticket in tickets])
        deadline = max([ticket.deadline for ticket in tickets])
        sent = self._clock()
        self._in_flight += rows.count
        error: GatewayError = WorkerFailed("the batch was dropped")
        try:
            scored = await self._scorer.score(rows, deadline, attempt.avoid)
            answers = split(scored, [ticket.rows.count for ticket in tickets])
        except GatewayError as failure:
            error = failure
        except Exception:  # the one broad fence of this stage: a bug must not leave callers waiting
            log.exception("dispatch.send_crashed", deployment=self.name, rows=rows.count)
        except asyncio.CancelledError:
            self._fail_all(tickets, error)
            raise
        else:
            self._on_answers(attempt, rows.count, scored, answers, sent)
            return
        finally:
            self._in_flight -= rows.count
        self._on_failure(attempt, error)

    def _on_answers(self, attempt: Attempt, rows: int, scored: Scored, answers: Sequence[Scored], sent: float) -> None:
        now = self._clock()
        self._limit.observe(rows, sent, now)
        self._forecast.completed(rows, sent, now, self._window.rows > 0)
        self._counters.batch(rows, scored)
        for ticket, answer in zip(attempt.tickets, answers, strict=True):
            self._answer(ticket, answer, now)

    def _on_failure(self, attempt: Attempt, error: GatewayError) -> None:
        if isinstance(error, WorkerLost):
            self._forecast.interrupted()
        attempts = following(attempt, error, self._is_idempotent)
        again = {ticket for each in attempts for ticket in each.tickets}
        # Which worker was lost is for whoever retries, not for the caller.
        final = WorkerFailed(str(error)) if isinstance(error, WorkerLost) else error
        self._fail_all([ticket for ticket in attempt.tickets if ticket not in again], final)
        if not attempts:
            return
        log.debug("dispatch.tried_again", deployment=self.name, reason=type(error).__name__, batches=len(attempts))
        self._again.extend(attempts)
        self._on_place()  # the place that the failed batch had is free since before these were in line

    # --- what a caller hears -----------------------------------------------------------------------------------

    def _answer(self, ticket: Ticket, scored: Scored, now: float) -> None:
        if not ticket.resolve(scored) or ticket.parent is not None:
            return
        self._settle(ticket)
        self._counters.success(now - ticket.born, ticket.left - ticket.born)

    def _fail(self, ticket: Ticket, error: GatewayError) -> None:
        if not ticket.fail(error) or ticket.parent is not None:
            return
        self._settle(ticket)
        self._counters.failure(self._clock() - ticket.born)
        for part in ticket.parts:
            self._window.remove(part)
            part.reply.cancel()

    def _fail_all(self, tickets: Sequence[Ticket], error: GatewayError) -> None:
        for ticket in tickets:
            self._fail(ticket, error)

    def _abandon_waiting(self, error: GatewayError) -> None:
        """Nobody can serve: better to say so now than at the deadline."""
        self._fail_all(self._window.clear(), error)
        while self._again:
            self._fail_all(self._again.popleft().tickets, error)

    def _on_deadline(self, ticket: Ticket) -> None:
        self._window.remove(ticket)
        self._fail(ticket, _expired())

    def _settle(self, ticket: Ticket) -> None:
        """This caller needs nothing more."""
        self._alarm.forget(ticket)
        if self._drained is not None and not self._alarm:
            self._drained.set()


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("too little time was left to compute the answer")


def _expired() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the answer was there")
