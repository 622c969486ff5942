"""
One worker, as the gateway sees it: what it is, what it does, and the batches that it has.

``send`` never waits: it takes a place and puts the message on its way; how the batch ends is told by a callback, in
the turn of the loop in which the reply arrives. ``Link`` keeps the connection and says here what becomes of it. When
the stream ends for whatever reason (the worker died, hung past a batch's deadline and grace, or spoke nonsense), every
batch it had fails with ``WorkerLost`` at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

import structlog
from google.protobuf.message import DecodeError

from gateway.core.deadline import Clock, left_ms
from gateway.core.description import Description
from gateway.core.errors import InvalidInput, WorkerFailed
from gateway.core.rows import Layout
from gateway.core.scoring import Outcome, WorkerLost
from gateway.pool.breaker import Breaker, BreakerState
from gateway.pool.codec import Refused, encode_batch, failure_of, scored_of
from gateway.pool.config import PoolConfig
from gateway.pool.flight import Flight, Outstanding
from gateway.pool.prefetch import Prefetch
from gateway.pool.room import Rooms
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["FROM_WIRE", "ChannelState", "WorkerChannel"]

log = structlog.get_logger()

NEVER = float("inf")

_read_reply = wire.Reply.FromString
"""Looking up a method of a message's class costs half as much as reading a short message."""


class ChannelState(Enum):
    CONNECTING = "connecting"
    """No stream yet: nobody listens, or the model is loading."""
    READY = "ready"
    RESTING = "resting"
    """Answers what it has and takes no more until it is ready again."""
    DRAINING = "draining"
    """Answers what it has, then leaves."""
    LOST = "lost"
    """Had a stream; waiting to try again."""


FROM_WIRE = {
    wire.READY: ChannelState.READY,
    wire.RESTING: ChannelState.RESTING,
    wire.DRAINING: ChannelState.DRAINING,
}


class WorkerChannel:
    """
    ``rooms`` is where its places are counted, ``on_place`` is called when a batch was answered and nothing else is new,
    ``on_change`` when whatever else happened by which places may have grown or it has left, and ``on_refused`` gets a
    batch that the worker did not take.
    """

    def __init__(
        self,
        address: str,
        config: PoolConfig,
        rooms: Rooms,
        *,
        clock: Clock,
        on_place: Callable[[], None],
        on_change: Callable[[], None],
        on_refused: Callable[[Outstanding], None],
    ) -> None:
        self.address = address
        self._processes = f"{address}, process "
        self.process = address
        """Which process is there, for whoever has lost a batch with it (see ``pick``)."""
        self.state = ChannelState.CONNECTING
        self.description: Description | None = None
        self.restarts = 0
        """How often another process was found at the address than the last time."""
        self.lost_at: float | None = None
        """When it last stopped taking batches for more than a rest."""
        self.has_answered = False
        """Since its stream began."""
        self.breaker = Breaker(
            config.breaker_failures, config.breaker_open_ms / 1000, config.breaker_max_open_ms / 1000
        )
        self.flight = Flight(rooms)
        self._clock = clock
        self._on_place, self._on_change = on_place, on_change
        self._on_refused = on_refused
        self._most = config.batches_in_flight
        self._soon = config.soon_ms / 1000
        self._grace = config.hang_grace_ms / 1000
        self._prefetch = Prefetch(self._on_room)
        self._put: Callable[[bytes], None] | None = None
        self._give_up: Callable[[str], None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._watched = NEVER
        """The deadline whose end ``_watch`` looks at; those of all batches are later."""
        self.inputs = self._outputs = self._taken = Layout.of(())
        """What its model takes; ``_taken`` is the layout that was last found to be that."""

    @property
    def is_connected(self) -> bool:
        return self.state not in (ChannelState.CONNECTING, ChannelState.LOST)

    def ran(self, process: str) -> bool:
        """Whether that process is, or was, at this address."""
        return process.startswith(self._processes)

    def takes(self, layout: Layout) -> bool:
        """Whether rows of this layout are what its model takes; they are not after it was replaced by another."""
        if layout is not self._taken:
            if not _is_filled_in(layout, self.inputs):
                return False
            self._taken = layout
        return True

    def send(self, batch: Outstanding, now: float) -> None:
        """Only while there is a stream. The batch's ``on_end`` is called once, unless ``on_refused`` is."""
        put, flight, prefetch, deadline = self._put, self.flight, self._prefetch, batch.deadline
        assert put is not None  # noqa: S101  # whoever has room has a stream
        message = encode_batch(flight.next_number, batch.rows, left_ms(deadline, now) or 1, self.inputs.is_resolved)
        flight.add(batch)
        if prefetch.is_slow and flight.batches == 1:
            prefetch.begins()
            flight.hold(1, prefetch.is_open)
        if deadline < self._watched:
            self._set_watch(deadline, now)
        put(message)  # last: should it raise, the watch ends the stream, and this batch does not keep its place

    # --- what becomes of the stream ----------------------------------------------------------------------------

    def describe(self, description: Description) -> None:
        """What is loaded there now."""
        before = self.description
        self.restarts += before is not None and before.pid != description.pid
        self.description = description
        self.process = f"{self._processes}{description.pid}"
        self.inputs = self._taken = Layout.of(description.signature.inputs)
        self._outputs = Layout.of(description.signature.outputs)

    def begin(self, state: ChannelState, put: Callable[[bytes], None], give_up: Callable[[str], None]) -> None:
        """There is a stream: ``put`` sends a message on it, ``give_up`` ends it for a reason."""
        self._put, self._give_up = put, give_up
        self.has_answered = False
        self._enter(state)
        self._on_change()

    def on_message(self, message: bytes) -> None:
        """Never raises: nonsense ends the stream, and what comes after its end is not heard."""
        if self._give_up is None:
            return
        try:
            reply = _read_reply(message)
        except DecodeError as error:
            self._give_up(f"nonsense: {error}")
            return
        if number := reply.id:
            batch = self.flight.land(number)
            if batch is not None:
                self._on_reply(batch, reply)
            else:
                log.warning("pool.reply_to_nobody", worker=self.address)
        if reply.state:
            self._enter(FROM_WIRE.get(reply.state, self.state))
            self._on_change()

    def lose(self, reason: str) -> None:
        """The stream is over: tell everybody who waits, at once."""
        was_draining = self.state is ChannelState.DRAINING
        lost = self.flight.lose()
        self._put = self._give_up = None
        self._prefetch.ends()
        self._unset_watch()
        self._enter(ChannelState.LOST)
        if lost:
            log.warning("pool.worker_lost", worker=self.address, batches=len(lost), reason=reason)
            if not was_draining:
                self._count_failure()
        for batch in lost:
            # The reason may name paths and hosts: it is for the log, not for a caller.
            batch.on_end(WorkerLost("the worker was lost before it answered", self.process))
        self._on_change()

    # --- what the worker says ----------------------------------------------------------------------------------

    def _on_reply(self, batch: Outstanding, reply: wire.Reply) -> None:
        prefetch = self._prefetch
        if prefetch.is_slow or not prefetch.is_open:
            flight = self.flight
            if batches := flight.batches:
                prefetch.begins()  # the next one, which was there already
            else:
                prefetch.ends()
            flight.hold(batches, prefetch.is_open)
        outcome: Outcome
        try:
            if reply.HasField("failure"):
                outcome = failure_of(reply.failure, self.process)
            else:
                outcome = scored_of(reply, batch.rows.count, self._outputs)
                prefetch.computed(outcome.compute)
        except WorkerFailed as nonsense:
            outcome = nonsense
        if isinstance(outcome, WorkerFailed):
            self._on_failure(batch, outcome)
            self._on_change()
            return
        # An answer, or an error of the model, which is none of the worker.
        self.has_answered = True
        if self.breaker.is_calm:
            batch.on_end(outcome)
            self._on_place()
        else:
            self.breaker.succeeded()
            self._set_room()
            batch.on_end(outcome)
            self._on_change()

    def _on_failure(self, batch: Outstanding, failure: WorkerFailed) -> None:
        if isinstance(failure, Refused):
            self._enter(ChannelState.DRAINING)  # it says so itself as well, but this came first
            self._on_refused(batch)
        else:
            log.warning("pool.worker_failed", worker=self.address, reason=str(failure))
            self._count_failure()
            batch.on_end(failure)

    def _enter(self, state: ChannelState) -> None:
        if state in (ChannelState.DRAINING, ChannelState.LOST) and self.state is not state:
            self.lost_at = self._clock()
            # "Soon" ends at some time, and somebody may be waiting for nothing then.
            asyncio.get_running_loop().call_later(self._soon, self._on_change)
        self.state = state
        self._set_room()

    # --- how much it takes -------------------------------------------------------------------------------------

    def _set_room(self) -> None:
        """After every change of the state, the breaker or the prefetch; batches come and go more often."""
        most = self.breaker.batches(self._clock(), self._most) if self.state is ChannelState.READY else 0
        self.flight.limit(most)
        self.flight.hold(self.flight.batches, self._prefetch.is_open)

    def _on_room(self) -> None:
        self._set_room()
        self._on_change()

    def _count_failure(self) -> None:
        now = self._clock()
        if self.breaker.failed(now):
            log.warning("pool.breaker_opened", worker=self.address)
            self._set_room()
            asyncio.get_running_loop().call_later(max(0.001, self.breaker.open_until - now), self._on_half_open)

    def _on_half_open(self) -> None:
        now = self._clock()
        if self.breaker.state is BreakerState.OPEN and now < self.breaker.open_until:
            asyncio.get_running_loop().call_later(max(0.001, self.breaker.open_until - now), self._on_half_open)
        else:
            self._on_room()

    # --- whether it hangs --------------------------------------------------------------------------------------

    def _set_watch(self, deadline: float, now: float) -> None:
        self._unset_watch()
        self._watched = deadline
        delay = max(0.001, deadline + self._grace - now)
        self._watch = asyncio.get_running_loop().call_later(delay, self._look_for_hang)

    def _unset_watch(self) -> None:
        self._watched = NEVER
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_for_hang(self) -> None:
        self._unset_watch()
        now, deadline = self._clock(), self.flight.deadline
        if deadline is None:
            return
        if deadline + self._grace > now:
            self._set_watch(deadline, now)
        elif self._give_up is not None:
            self._give_up("no answer long after the deadline")


def _is_filled_in(layout: Layout, inputs: Layout) -> bool:
    """Whether it is ``inputs``, with a length chosen wherever that leaves one open."""
    if len(layout.columns) != len(inputs.columns):
        return False
    try:
        return inputs.with_shapes([column.shape for column in layout.columns]).columns == layout.columns
    except InvalidInput:
        return False
