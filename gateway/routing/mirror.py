"""
Sends what a primary has answered to its shadows as well, and brings both answers together.

What a caller can rely on: a mirror never delays, fails or changes an answer. Nothing of a shadow is begun before the
primary has answered and the loop has turned, so the answer is on its way by then; what is begun has a bound in rows for
all shadows of an endpoint together, and is dropped first: when rows wait for the primary, when the bound is reached,
when the shadow has no room. Whatever a shadow does with a request is counted, and nothing of it is tried again.

There are no tasks but where a shadow needs what has to be read for it: a request waits at its shadow as a callback. The
mirror owns all of it, and ``close`` ends it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog

from gateway.core.deadline import Clock, Deadline
from gateway.core.errors import GatewayError, ModelFailed, NotReady, WorkerFailed
from gateway.core.request import Answer, Deployment, Enriched
from gateway.core.rows import Rows
from gateway.core.scoring import Scored
from gateway.core.service import Service
from gateway.routing.compare import Comparer, Pair
from gateway.routing.shadow import Shadow, ShadowCounts, drop

__all__ = ["Line", "Mirror", "Mirrored", "Prepare"]

log = structlog.get_logger()

_OFFERS = 256
"""Requests that may wait for the loop to turn; they are taken up in the next turn, so there are never many."""


class Line(Protocol):
    """Where rows wait for the workers of one deployment."""

    @property
    def rows_waiting(self) -> int: ...

    def accept(self, rows: Rows, deadline: Deadline, /) -> Any:
        """A place, with a future ``reply`` of ``Scored``. Raises ``GatewayError``."""

    def withdraw(self, place: Any, /) -> None:
        """Nobody waits there any more."""


class Prepare(Protocol):
    """Makes the rows of a shadow out of what the primary has read."""

    def rows(self, request: Enriched, shadow: Deployment) -> Rows | None:
        """None where more must be read. Raises ``InvalidInput``."""

    async def read(self, request: Enriched, shadow: Deployment, deadline: Deadline) -> Rows:
        """With what must be read. Raises ``GatewayError``."""


@dataclass(slots=True, eq=False)
class _Offer:
    """One answered request that somebody is to get as well; plain, because one is made per mirrored request."""

    request: Enriched
    answer: Answer | None
    """None where the primary failed."""
    seconds: float
    targets: list[Shadow]


@dataclass(slots=True, eq=False)
class _Flight:
    """A request at one shadow."""

    target: Shadow
    primary: Deployment
    shadow: Deployment
    request_id: str
    answer: Answer | None
    seconds: float
    inputs: Rows | None
    rows: int
    sent: float = 0.0
    line: Line | None = None
    place: Any = field(default=None, repr=False)


class Mirror:
    """Of one endpoint. ``draw`` gives a number from 0 to 1 per shadow and request."""

    def __init__(
        self,
        endpoint: str,
        shadows: Mapping[str, int],
        *,
        max_rows: int,
        replay_percent: int,
        keep_inputs: bool,
        deployment_of: Callable[[str, str], Deployment | None],
        line_of: Callable[[Deployment], Line],
        prepare: Prepare,
        comparer: Callable[[str, str], Comparer],
        draw: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._endpoint, self._max_rows, self._keep_inputs = endpoint, max_rows, keep_inputs
        self._deployment_of, self._line_of, self._prepare = deployment_of, line_of, prepare
        self._make_comparer, self._draw, self._clock = comparer, draw, clock
        self._shadows = [Shadow(name, percent) for name, percent in shadows.items()]
        self._replay = Shadow("", replay_percent)
        self._comparers: dict[tuple[str, str], Comparer] = {}
        self._offers: deque[_Offer] = deque()
        self._flights: set[_Flight] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rows = 0
        self._is_closed = False

    @property
    def counts(self) -> list[ShadowCounts]:
        """Of every shadow."""
        return [target.counts for target in self._shadows]

    @property
    def comparers(self) -> Mapping[tuple[str, str], Comparer]:
        """By primary and shadow; a primary beside itself is its replays."""
        return self._comparers

    @property
    def rows(self) -> int:
        """With all shadows at this moment."""
        return self._rows

    def offer(self, request: Enriched, answer: Answer | None, seconds: float) -> None:
        """The primary has answered, or its model failed (None), after ``seconds``. Never raises, never waits."""
        draw = self._draw
        targets = [target for target in self._shadows if draw() < target.share]
        if not targets or self._is_closed:
            return
        if answer is not None and draw() < self._replay.share and request.deployment.is_idempotent:
            targets.append(self._replay)
        if len(self._offers) >= _OFFERS:
            drop(targets, "queue")
            return
        if not self._offers:
            asyncio.get_running_loop().call_soon(self._take_up)
        self._offers.append(_Offer(request, answer, seconds, targets))

    async def close(self) -> None:
        """Give up everything that is with shadows; nothing is mirrored from now on."""
        self._is_closed = True
        self._offers.clear()
        for flight in list(self._flights):
            if flight.line is not None:
                flight.line.withdraw(flight.place)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- on the way to a shadow --------------------------------------------------------------------------------

    def _take_up(self) -> None:
        while self._offers:
            offer = self._offers.popleft()
            try:
                self._begin(offer)
            except Exception:  # the fence of the mirror: a defect here must not reach the loop
                log.exception("mirror.crashed", endpoint=self._endpoint, mirrored=True)
                drop(offer.targets, "crashed")

    def _begin(self, offer: _Offer) -> None:
        request = offer.request
        if self._line_of(request.deployment).rows_waiting:
            drop(offer.targets, "pressure")
            return
        for target in offer.targets:
            primary = request.deployment
            shadow = primary if target is self._replay else self._deployment_of(self._endpoint, target.name)
            if shadow is None:
                target.dropped("not_ready")
            elif self._rows and self._rows + request.rows.count > self._max_rows:
                target.dropped("budget")
            else:
                flight = _Flight(
                    target,
                    primary,
                    shadow,
                    request.received.id,
                    offer.answer,
                    offer.seconds,
                    request.rows if self._keep_inputs else None,
                    request.rows.count,
                )
                self._start(flight, request)

    def _start(self, flight: _Flight, request: Enriched) -> None:
        try:
            rows = request.rows if flight.target is self._replay else self._prepare.rows(request, flight.shadow)
        except GatewayError as error:
            flight.target.counts.mirrored += 1
            self._failed(flight, error)
            return
        self._flights.add(flight)
        self._rows += flight.rows
        if rows is not None:
            self._send(flight, rows)
            return
        task = asyncio.get_running_loop().create_task(self._read(flight, request), name=f"mirror {self._endpoint}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, flight: _Flight, request: Enriched) -> None:
        """For a shadow that takes what the primary does not."""
        try:
            rows = await self._prepare.read(request, flight.shadow, self._deadline(flight.shadow))
            self._send(flight, rows)
        except GatewayError as error:
            flight.target.counts.mirrored += 1
            self._failed(flight, error)
        except Exception:  # the same fence
            log.exception("mirror.crashed", endpoint=self._endpoint, shadow=flight.target.name, mirrored=True)
            flight.target.dropped("crashed")
        finally:
            if flight.line is None:
                self._land(flight)

    def _send(self, flight: _Flight, rows: Rows) -> None:
        target = flight.target
        try:
            line = self._line_of(flight.shadow)
            place = line.accept(rows, self._deadline(flight.shadow))
        except GatewayError as error:
            self._land(flight)
            target.dropped("not_ready" if isinstance(error, NotReady) else "shadow_full")
            return
        except BaseException:
            self._land(flight)
            raise
        target.counts.mirrored += 1
        flight.line, flight.place, flight.sent = line, place, self._clock()
        place.reply.add_done_callback(partial(self._on_reply, flight))

    def _deadline(self, shadow: Deployment) -> Deadline:
        """Its own: the caller's says how long somebody waits, and nobody does."""
        return self._clock() + shadow.request_timeout_ms / 1000

    # --- on the way back ---------------------------------------------------------------------------------------

    def _on_reply(self, flight: _Flight, reply: asyncio.Future[Scored]) -> None:
        self._land(flight)
        if reply.cancelled():
            return
        try:
            error = reply.exception()
            if error is None:
                self._answered(flight, reply.result())
            elif isinstance(error, GatewayError):
                self._failed(flight, error)
            else:
                raise error
        except Exception:  # the same fence: an answer may be anything
            log.exception("mirror.crashed", endpoint=self._endpoint, shadow=flight.shadow.name, mirrored=True)
            flight.target.failed("crashed")

    def _answered(self, flight: _Flight, scored: Scored) -> None:
        comparer = self._comparer(flight)
        if flight.answer is None:
            comparer.failed(primary=True, shadow=False)
            return
        comparer.note(
            Pair(
                flight.answer.rows,
                scored.rows,
                flight.seconds,
                self._clock() - flight.sent,
                flight.request_id,
                flight.inputs,
            )
        )

    def _failed(self, flight: _Flight, error: GatewayError) -> None:
        kind = type(error).__name__
        flight.target.failed(kind)
        self._comparer(flight).failed(primary=flight.answer is None, shadow=True)
        flight.target.tell(self._clock(), self._endpoint, flight.shadow.name, kind, flight.request_id)

    def _comparer(self, flight: _Flight) -> Comparer:
        key = flight.primary.name, flight.shadow.name
        known = self._comparers.get(key)
        if known is None:
            known = self._comparers[key] = self._make_comparer(*key)
        return known

    def _land(self, flight: _Flight) -> None:
        if flight in self._flights:
            self._flights.discard(flight)
            self._rows -= flight.rows


class Mirrored:
    """The stage: ``inner``, and its answers offered to the mirror. It stands where the rows are complete."""

    def __init__(self, mirror: Mirror, inner: Service[Enriched, Answer], clock: Clock) -> None:
        self._mirror, self._inner, self._clock = mirror, inner, clock

    async def __call__(self, request: Enriched, /) -> Answer:
        started = self._clock()
        try:
            answer = await self._inner(request)
        except (ModelFailed, WorkerFailed):
            self._mirror.offer(request, None, self._clock() - started)
            raise
        self._mirror.offer(request, answer, self._clock() - started)
        return answer
