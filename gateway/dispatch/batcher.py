"""
Sends the rows of one deployment to its workers, in batches, and gives every caller its own answer back.

*Work-conserving*: rows that arrive in one turn of the event loop leave together at the end of that turn while the
scorer has places; when all are taken, rows gather, and leave the moment a place is free. There is no timer between a
row and an idle worker, and no task: a batch leaves in a callback of the loop, and its callers are answered in the one
in which its answer arrives. The decisions (what makes a batch, how large it may be, who is let in, who is out of time)
are in pure classes beside this file; here is what they act on.

What a caller can rely on: a ticket resolves exactly once, at its deadline at the latest, whatever happens to the
batch it is in; what one caller does (leave, fail, expire) is never seen by another.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog

from gateway.core.catalog import Stats
from gateway.core.deadline import Clock, Deadline
from gateway.core.errors import DeadlineExceeded, GatewayError, NotReady, Overloaded, WorkerFailed
from gateway.core.rows import Rows
from gateway.core.scoring import Outcome, Scored, Scorer, WorkerLost
from gateway.core.timeline import Timeline
from gateway.dispatch.attempt import Attempt, following
from gateway.dispatch.callers import Callers
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.counters import Counters
from gateway.dispatch.gathering import Gathering
from gateway.dispatch.leaving import Leaving
from gateway.dispatch.limit import RowLimit
from gateway.dispatch.merge import merge, split
from gateway.dispatch.ticket import Ticket, TicketOfOneTry
from gateway.dispatch.wait import WaitForecast
from gateway.dispatch.window import Window

__all__ = ["Batcher"]

log = structlog.get_logger()

NEVER = float("inf")


class Batcher:
    """Made in a running loop, for that loop; when ``close`` returns it wants nothing more of it."""

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
        self._most_waiting = config.max_queue_rows
        self._scorer = scorer
        self._is_idempotent = is_idempotent
        self._clock = clock
        goal = config.latency_goal_ms
        self._limit = RowLimit(config.max_rows, None if goal is None else goal / 1000)
        self._has_goal = goal is not None
        self._forecast = WaitForecast()
        self._window: Window[Ticket] = Window()
        self._counters = counters or Counters()
        self._callers = Callers(self._window, self._counters, clock)
        self._alarm = self._callers.alarm
        self._watch = self._alarm.add
        leaving = Leaving(self._window, self._forecast, self._callers)
        self._next, self._abandon, self._again = leaving.next, leaving.abandon, leaving.again
        self._in_flight = 0
        """Rows."""
        self._turn: asyncio.Handle | None = None
        """Set while a batch is about to leave, at the end of this turn of the loop or a later one."""
        self._gathering = Gathering()
        self._is_crowded = False
        """Whether the last batch had company."""
        self._comfort = NEVER
        """Seconds in which any row that waits will be answered, as far as anybody knows. Not known any more when a
        batch has left or has ended; then the first who comes behind another has it worked out."""
        self._is_closed = False
        self._closed_for = ""
        self._loop = asyncio.get_running_loop()
        scorer.on_place(self._on_place)

    def accept(
        self, rows: Rows, deadline: Deadline, timeline: Timeline | None = None, kind: type[Ticket] = Ticket
    ) -> Ticket:
        """
        A place in line. Await ``reply`` of the ticket, and ``withdraw`` it if that is cancelled.

        Raises ``Overloaded``, ``NotReady`` or ``DeadlineExceeded`` at once where waiting would be in vain.
        """
        now = self._clock()
        places, count, waiting = self._scorer.places, rows.count or 1, self._window.rows
        # Who has more time than the longest line takes is let in without more ado.
        if (
            deadline <= now
            or self._is_closed
            or (places <= 0 and not self._scorer.is_ready)
            or (waiting and (waiting + count > self._most_waiting or deadline - now < self._comfort))
        ):
            self._check_admission(count, deadline, now)
        loop = self._loop
        ticket = kind(rows, deadline, loop.create_future(), now, timeline or Timeline())
        if count <= self._limit.rows:
            self._window.put(ticket)
        else:
            self._callers.put_parts(ticket, self._limit.rows, loop)
        if self._watch(ticket):
            self._alarm.set(now)
        if self._turn is None and (places > 0 or self._is_full()):
            self._start_turn()
        return ticket

    def accept_once(self, rows: Rows, deadline: Deadline) -> Ticket:
        """The same for rows that are not to be tried again when a worker is lost with them."""
        return self.accept(rows, deadline, None, TicketOfOneTry)

    def withdraw(self, ticket: Ticket) -> None:
        """The caller has left: rows that still wait leave the line, rows at a worker are ignored when they return."""
        self._callers.withdraw(ticket)

    @property
    def rows_waiting(self) -> int:
        return self._window.rows

    @property
    def rows_in_flight(self) -> int:
        return self._in_flight

    def stats(self) -> Stats:
        return self._counters.stats()

    async def close(self, drain: float, why: str = "the gateway is shutting down") -> None:
        """Take nothing more; return when everything accepted is answered, after ``drain`` seconds at the latest."""
        self._closed_for = why
        self._is_closed = True
        try:
            async with asyncio.timeout(drain):
                await self._callers.all_heard()
        except TimeoutError:
            log.warning("dispatch.drain_ended", deployment=self.name, rows=self._window.rows + self._in_flight)
        finally:
            self._abandon(NotReady(why))
            self._callers.dismiss(NotReady(why))
            if self._turn is not None:
                self._turn.cancel()
            self._scorer.off_place(self._on_place)

    # --- who is let in -----------------------------------------------------------------------------------------

    def _check_admission(self, count: int, deadline: Deadline, now: float) -> None:
        waiting = self._window.rows
        error: GatewayError
        if deadline <= now:
            error = DeadlineExceeded("no time was left when the request came to its turn")
        elif self._is_closed:
            error = NotReady(self._closed_for)
        elif not self._scorer.is_ready:
            error = self._nobody_serves()
        elif waiting and waiting + count > self._most_waiting:
            excess = waiting + count - self._most_waiting
            error = Overloaded(f"{waiting} rows are waiting", self._forecast.retry_after(excess))
        elif waiting and (excess_rows := self._forecast.excess(waiting + self._in_flight, deadline - now)) > 0:
            error = Overloaded(
                f"{waiting} rows are waiting, too many for the time left", self._forecast.retry_after(excess_rows)
            )
        else:
            self._set_comfort()
            return
        self._counters.failure(0.0)
        raise error

    def _set_comfort(self) -> None:
        """It holds until more is in flight, or the forecast is another."""
        self._comfort = self._forecast.comfort(self._most_waiting + self._in_flight)

    # --- what leaves when --------------------------------------------------------------------------------------

    def _on_place(self) -> None:
        if not self._window.rows and not self._again:
            return
        if not self._scorer.is_ready:
            self._abandon(self._nobody_serves())
        elif self._turn is None and (self._scorer.places > 0 or self._is_full()):
            self._start_turn()

    def _is_full(self) -> bool:
        """Whether a full batch waits that some worker could have ahead of its time: nothing can join it any more."""
        return self._window.rows >= self._limit.rows and self._scorer.spare > 0

    def _start_turn(self) -> None:
        # Called at the end of the current turn of the loop: what arrives until then leaves with it.
        if self._in_flight or self._is_crowded:
            self._gathering.begin()
            self._turn = self._loop.call_soon(self._gather)
        else:
            self._turn = self._loop.call_soon(self._leave)

    def _gather(self) -> None:
        """One batch leaves, or stays for another turn."""
        waiting = self._window.rows
        if (
            (self._in_flight or self._is_crowded)
            and self._scorer.places > 0
            and waiting < self._limit.rows
            and not self._again
            and self._gathering.goes_on(waiting)
        ):
            self._turn = self._loop.call_soon(self._gather)
        else:
            self._leave()

    def _leave(self) -> None:
        """One batch leaves, where there is a place for it."""
        self._turn = None
        scorer = self._scorer
        if scorer.places <= 0 and not self._is_full():
            return
        attempt = self._next(self._limit.rows, self._clock())
        if attempt is None:
            return
        tickets = attempt.tickets
        self._is_crowded = is_crowded = len(tickets) > 1
        self._comfort = NEVER
        try:
            if is_crowded:
                rows, attempt.counts = merge(tickets)
            else:
                rows = tickets[0].rows
            attempt.rows = count = rows.count
            self._in_flight += count
            scorer.send(rows, attempt.deadline, partial(self._on_end, attempt), attempt.avoid)
        except GatewayError as error:
            self._on_end(attempt, error)
        except Exception:  # the one broad fence of this stage: a bug must not leave callers waiting
            log.exception("dispatch.send_crashed", deployment=self.name, rows=attempt.rows)
            self._on_end(attempt, _dropped())
        # Asked again: a batch that avoids a worker may have gone to one without a place, and left the place free.
        if (self._window.rows or self._again) and self._turn is None and (self._scorer.places > 0 or self._is_full()):
            self._start_turn()

    # --- what comes back ---------------------------------------------------------------------------------------

    def _on_end(self, attempt: Attempt, outcome: Outcome) -> None:
        """Never raises: a worker's connection is waiting for it."""
        if attempt.is_over:
            return
        attempt.is_over = True
        rows = attempt.rows
        self._in_flight -= rows
        if isinstance(outcome, Scored):
            try:
                answer, compute, counts = outcome.rows, outcome.compute, attempt.counts
                answers = [answer] if not counts and answer.count == rows else split(answer, counts or [rows])
                now = self._clock()
                self._callers.answer(attempt.tickets, answers, now, compute)
                self._comfort = NEVER
                self._forecast.completed(rows, attempt.sent, now, self._window.rows > 0)
                if self._has_goal:
                    self._limit.observe(rows, attempt.sent, now)
                self._counters.batch(rows, compute)
                return
            except WorkerFailed as mismatch:
                outcome = mismatch
            except Exception:  # the same fence, on the way back
                log.exception("dispatch.answer_crashed", deployment=self.name, rows=attempt.rows)
                outcome = _dropped()
        self._on_failure(attempt, outcome)

    def _on_failure(self, attempt: Attempt, error: GatewayError) -> None:
        if isinstance(error, WorkerLost):
            self._forecast.interrupted()
        attempts = following(attempt, error, self._is_idempotent)
        again = {ticket for each in attempts for ticket in each.tickets}
        # Which worker was lost is for whoever retries, not for the caller.
        final = WorkerFailed(str(error)) if isinstance(error, WorkerLost) else error
        self._callers.fail_all([ticket for ticket in attempt.tickets if ticket not in again], final)
        if attempts:
            self._again.extend(attempts)
            log.debug("dispatch.tried_again", deployment=self.name, reason=type(error).__name__, batches=len(attempts))
        self._on_place()  # the one that this batch had, or could not take, may be free since before

    def _nobody_serves(self) -> NotReady:
        return NotReady(f"no worker of {self.name} can serve at the moment")


def _dropped() -> WorkerFailed:
    return WorkerFailed("the batch was dropped")
