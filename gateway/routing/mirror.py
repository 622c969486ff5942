"""
Sends what a primary has answered to its shadows as well, and brings both answers together.

What a caller can rely on: a mirror never delays, fails or changes an answer. Nothing of a shadow is begun before the
primary has answered and the loop has turned, so the answer is on its way by then. What was answered waits a moment for
company, so that the loop is not kept by shadows for each request anew. What is begun has a bound in rows for
all shadows of an endpoint together, and is dropped first: when rows wait for the primary, when the bound is reached,
when the shadow has no room. Whatever a shadow does with a request is counted, and nothing of it is tried again.

A mirror outlives changes of its endpoint. Shadows that stay keep what was counted; a shadow with another model is
another one. A request that was answered by a deployment which has been replaced meanwhile is not mirrored.

There are no tasks but where a shadow needs what has to be read for it: a request waits at its shadow as a callback. The
mirror owns all of it, and ``close`` ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.core.deadline import Clock, Deadline
from gateway.core.errors import GatewayError, NotReady
from gateway.core.request import Answer, Deployment, Enriched
from gateway.core.rows import Rows
from gateway.routing.company import LINGER, Company
from gateway.routing.compare import Comparison, Pair
from gateway.routing.comparisons import Comparisons, Judging
from gateway.routing.flight import Flight, Line, Offer, Prepare
from gateway.routing.replays import FIRST, Replays
from gateway.routing.shadow import Shadow, ShadowCounts, drop, renewed

__all__ = ["Mirror", "MirrorSettings"]

log = structlog.get_logger()

_COMPANIES = 4
"""Of so many there is always room for one: waiting for company must not be what uses up the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSettings:
    """What one configuration says of the mirror of one endpoint."""

    shadows: Mapping[str, int]
    """Percent."""
    models: Mapping[str, str]
    """Of all deployments of the endpoint: name → digest of the model's files."""
    max_rows: int
    replay_percent: int
    judging: Judging
    prepare: Prepare
    """Knows the deployments of this configuration."""


class Mirror:
    """
    Of one endpoint. ``deployment_of`` gives what serves under a name now, ``line_of`` where its rows wait; ``draw``
    gives a number from 0 to 1 per shadow and request, ``linger`` is how long one waits for company, and so many
    ``first_replays`` are not drawn for.
    """

    def __init__(
        self,
        endpoint: str,
        settings: MirrorSettings,
        *,
        deployment_of: Callable[[str, str], Deployment | None],
        line_of: Callable[[Deployment], Line],
        draw: Callable[[], float],
        clock: Clock,
        linger: float = LINGER,
        first_replays: int = FIRST,
    ) -> None:
        self._endpoint = endpoint
        self._deployment_of, self._line_of, self._draw, self._clock = deployment_of, line_of, draw, clock
        self._known: dict[str, Shadow] = {}
        """Also those that are sent nothing any more, as long as their model is there."""
        self._replays = Replays(first_replays)
        self._comparisons = Comparisons()
        self._company = Company(self._take_up, linger)
        self._flights: set[Flight] = set()
        self._tasks: dict[Flight, asyncio.Task[None]] = {}
        self._rows = 0
        self.install(settings)

    @property
    def counts(self) -> list[ShadowCounts]:
        """Of every shadow."""
        return [shadow.counts for shadow in self._known.values()]

    @property
    def states(self) -> list[Comparison]:
        """Everything that was compared; a primary beside itself is its replays."""
        return self._comparisons.states

    @property
    def rows(self) -> int:
        """With all shadows at this moment."""
        return self._rows

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is under way."""
        return not self._tasks and not self._flights

    def install(self, settings: MirrorSettings) -> None:
        """
        From now on. ``deployment_of`` must give the new deployments by then: what is with shadows that were replaced,
        and what is being read by the old configuration, is given up.
        """
        self._known = renewed(self._known, settings.shadows, settings.models)
        self._targets = [shadow for shadow in self._known.values() if shadow.share]
        self._replays.install(settings.replay_percent, settings.judging.tolerance, settings.models)
        self._max_rows, self._prepare = settings.max_rows, settings.prepare
        self._company.enough_rows = settings.max_rows // _COMPANIES
        self._comparisons.install(settings.judging, settings.models)
        for flight in list(self._flights):
            if flight.line is None or not self._is_current(flight.shadow):
                self._give_up(flight)

    def offer(self, request: Enriched, answer: Answer | None, seconds: float) -> None:
        """The primary has answered, or its model failed (None), after ``seconds``. Never raises, never waits."""
        draw = self._draw
        targets = [target for target in self._targets if draw() < target.share]
        if not targets:
            return
        if answer is not None and draw() < self._replays.target.share and request.deployment.is_idempotent:
            targets.append(self._replays.target)
        if not self._company.join(Offer(request, answer, seconds, targets)):
            drop(targets, "queue")

    def stop(self) -> None:
        """Give up everything that is with shadows; nothing is mirrored from now on."""
        self._targets = []
        self._company.disperse()
        for flight in list(self._flights):
            self._give_up(flight)

    async def close(self) -> None:
        """``stop``, and wait until nothing is under way."""
        self.stop()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _is_current(self, deployment: Deployment) -> bool:
        return self._deployment_of(self._endpoint, deployment.name) is deployment

    def _give_up(self, flight: Flight) -> None:
        """Nobody is told: it is no fault of the shadow."""
        task = self._tasks.get(flight)
        if task is not None:
            task.cancel()
        if flight.line is not None:
            flight.line.withdraw(flight.place)
        self._land(flight)

    # --- on the way to a shadow --------------------------------------------------------------------------------

    def _take_up(self) -> None:
        objections: dict[Deployment, str] = {}
        for offer in self._company.taken():
            try:
                primary = offer.request.deployment
                # Once for all of them: what they bring to the primary's line themselves is no reason to drop others.
                if primary not in objections:
                    objections[primary] = self._objection(primary)
                if objections[primary]:
                    drop(offer.targets, objections[primary])
                else:
                    self._begin(offer)
            except Exception:  # the fence of the mirror: a defect here must not reach the loop
                log.exception("mirror.crashed", endpoint=self._endpoint, mirrored=True)
                drop(offer.targets, "crashed")

    def _objection(self, primary: Deployment) -> str:
        """Why nothing that it has answered is mirrored now, or nothing."""
        if not self._is_current(primary):
            return "reloaded"
        return "pressure" if self._line_of(primary).rows_waiting else ""

    def _begin(self, offer: Offer) -> None:
        request, primary, replay = offer.request, offer.request.deployment, self._replays.target
        count, keep_inputs = request.rows.count, self._comparisons.keep_inputs
        self._replays.join(offer)  # not when it was offered: those that wait together would all be among the first
        for target in offer.targets:
            shadow = primary if target is replay else self._deployment_of(self._endpoint, target.name)
            if not target.share:  # it was replaced meanwhile, or is no shadow any more
                target.dropped("reloaded")
            elif shadow is None:
                target.dropped("not_ready")
            elif self._rows and self._rows + count > self._max_rows:
                target.dropped("budget")
            else:
                flight = Flight(
                    target,
                    primary,
                    shadow,
                    request.received.id,
                    offer.answer,
                    offer.seconds,
                    request.rows if keep_inputs else None,
                    count,
                    offer.is_alone,
                )
                self._start(flight, request)

    def _start(self, flight: Flight, request: Enriched) -> None:
        try:
            is_replay = flight.target is self._replays.target
            rows = request.rows if is_replay else self._prepare.rows(request, flight.shadow)
        except GatewayError as error:
            flight.target.counts.mirrored += 1
            self._failed(flight, error)
            return
        self._flights.add(flight)
        self._rows += flight.rows
        if rows is not None:
            self._send(flight, rows)
            return
        reading = self._read(flight, request)
        task = asyncio.get_running_loop().create_task(reading, name=f"mirror {self._endpoint}")
        self._tasks[flight] = task
        task.add_done_callback(lambda _: self._tasks.pop(flight, None))

    async def _read(self, flight: Flight, request: Enriched) -> None:
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

    def _send(self, flight: Flight, rows: Rows) -> None:
        target = flight.target
        try:
            line = self._line_of(flight.shadow)
            place = line.accept_once(rows, self._deadline(flight.shadow))
        except GatewayError as error:
            self._land(flight)
            target.dropped("not_ready" if isinstance(error, NotReady) else "shadow_full")
            return
        except BaseException:
            self._land(flight)
            raise
        target.counts.mirrored += 1
        if target is self._replays.target:
            self._replays.sent(flight.primary)
        flight.line, flight.place, flight.sent = line, place, self._clock()
        place.reply.add_done_callback(partial(self._on_reply, flight))

    def _deadline(self, shadow: Deployment) -> Deadline:
        """Its own: the caller's says how long somebody waits, and nobody does."""
        return self._clock() + shadow.request_timeout_ms / 1000

    # --- on the way back ---------------------------------------------------------------------------------------

    def _on_reply(self, flight: Flight, reply: asyncio.Future[Rows]) -> None:
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

    def _answered(self, flight: Flight, rows: Rows) -> None:
        comparer = self._comparisons.of(flight.primary, flight.shadow)
        if comparer is None:
            return
        if flight.answer is None:
            comparer.failed(primary=True, shadow=False)
            return
        seconds = self._clock() - flight.sent if flight.is_alone else None
        comparer.note(Pair(flight.answer.rows, rows, flight.seconds, seconds, flight.request_id, flight.inputs))

    def _failed(self, flight: Flight, error: GatewayError) -> None:
        kind, shadow = type(error).__name__, flight.shadow
        flight.target.failed(kind)
        comparer = self._comparisons.of(flight.primary, shadow)
        if comparer is not None:
            comparer.failed(primary=flight.answer is None, shadow=True)
        flight.target.tell(self._clock(), self._endpoint, shadow.name, kind, flight.request_id)

    def _land(self, flight: Flight) -> None:
        if flight in self._flights:
            self._flights.discard(flight)
            self._rows -= flight.rows
