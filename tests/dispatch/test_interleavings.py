"""
Any interleaving of arrivals, departures, answers, failures, losses and time, thrown at the batcher.

The rows carry numbers, the played model adds 1000 to each and refuses the guilty ones, so that every answer shows
whose it is. Whatever happens: each caller hears exactly once, of his own rows, not after his deadline, and nothing
stays behind.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import cast

from hypothesis import event, given, settings
from hypothesis import strategies as st

from gateway.core.errors import DeadlineExceeded, ModelFailed, NotReady, Overloaded, WorkerFailed
from gateway.core.rows import Rows
from gateway.core.scoring import WorkerLost
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.ticket import Ticket
from tests.support.held_scorer import LAYOUT, OTHER_LAYOUT, HeldScorer, numbers, rows_of
from tests.support.virtual_loop import VirtualLoop, run_virtually, settle

BEGIN = 1000.0
"""When virtual loops begin."""

GUILTY = 7
"""Rows whose number is a multiple of this are refused by the model."""


class Thorough(Batcher):
    """Lets nobody in without having worked out everything."""

    def _set_comfort(self) -> None:
        self._comfort = math.inf


@dataclass(eq=False)
class Caller:
    values: list[int]
    ticket: Ticket
    has_left: bool = False
    heard: list[tuple[float, list[int] | type[BaseException] | None]] = field(default_factory=list)


class World:
    def __init__(self, places: int, is_idempotent: bool, goal: float | None, kind: type[Batcher] = Batcher) -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.scorer = HeldScorer(places)
        config = BatchConfig(max_rows=4, max_queue_rows=40, latency_goal_ms=goal)
        self.batcher = kind("e/d", config, self.scorer, is_idempotent=is_idempotent, clock=self.loop.time)
        self.callers: list[Caller] = []
        self.refused: list[tuple[float, list[int], str]] = []
        self.next_value = 1

    def arrive(self, rows: int, milliseconds: int, other: bool) -> None:
        values = list(range(self.next_value, self.next_value + rows))
        self.next_value += rows
        layout = OTHER_LAYOUT if other else LAYOUT
        try:
            ticket = self.batcher.accept(rows_of(*values, layout=layout), self.loop.now + milliseconds / 1000)
        except (Overloaded, NotReady) as refused:
            self.refused.append((self.loop.now, values, str(refused)))
            return
        caller = Caller(values, ticket)
        self.callers.append(caller)
        ticket.reply.add_done_callback(lambda reply: caller.heard.append((self.loop.now, _what(reply))))

    def leave(self, index: int, is_cancelled: bool) -> None:
        if self.callers:
            caller = self.callers[index % len(self.callers)]
            caller.has_left = True
            if is_cancelled:  # a task that waits for the reply: its own turn comes later
                caller.ticket.reply.cancel()
                self.loop.call_soon(self.batcher.withdraw, caller.ticket)
            else:
                self.batcher.withdraw(caller.ticket)

    def work(self, index: int, is_said_twice: bool = False) -> None:
        """A worker finishes a batch as the model would."""
        if self.scorer.held:
            batch = self.scorer.held[index % len(self.scorer.held)]
            if any(value % GUILTY == 0 for value in batch.values):
                self.scorer.fail(ModelFailed("guilty"), batch)
            else:
                self.scorer.answer(batch)
            if is_said_twice:
                batch.on_end(WorkerLost("gone", batch.worker))

    def refuse(self, is_on: bool) -> None:
        """From now on no batch can leave, or all can."""
        self.scorer.refusal = NotReady("just gone") if is_on else None

    def lose(self, index: int) -> None:
        if self.scorer.held:
            batch = self.scorer.held[index % len(self.scorer.held)]
            self.scorer.fail(WorkerLost("gone", batch.worker), batch)


def _what(reply: asyncio.Future[Rows]) -> list[int] | type[BaseException] | None:
    if reply.cancelled():
        return None
    error = reply.exception()
    return type(error) if error is not None else numbers(reply.result())


NUMBER = st.integers(0, 50)
STEP = st.one_of(
    st.tuples(st.just("arrive"), st.integers(0, 9), st.integers(1, 200), st.booleans()),
    st.tuples(st.just("arrive"), st.integers(1, 2), st.integers(1, 200), st.just(False)),
    st.tuples(st.just("leave"), NUMBER, st.just(0), st.booleans()),
    st.tuples(st.just("work"), NUMBER, st.just(0), st.booleans()),
    st.tuples(st.just("refuse"), st.just(0), st.just(0), st.booleans()),
    st.tuples(st.just("lose"), NUMBER, st.just(0), st.just(False)),
    st.tuples(st.just("turn"), st.integers(1, 5), st.just(0), st.just(False)),
    st.tuples(st.just("time"), st.integers(1, 100), st.just(0), st.just(False)),
)


Steps = list[tuple[str, int, int, bool]]


async def play(
    steps: Steps, places: int, is_idempotent: bool, goal: float | None, kind: type[Batcher] = Batcher
) -> World:
    world = World(places, is_idempotent, goal, kind)
    for what, number, milliseconds, flag in steps:
        if what == "arrive":
            world.arrive(number, milliseconds, flag)
        elif what == "leave":
            world.leave(number, flag)
        elif what == "work":
            world.work(number, flag)
        elif what == "refuse":
            world.refuse(flag)
        elif what == "lose":
            world.lose(number)
        elif what == "time":
            await asyncio.sleep(number / 1000)
        else:
            for _ in range(number):
                await asyncio.sleep(0)
    closing = asyncio.create_task(world.batcher.close(5))
    await settle()
    while world.scorer.held:
        world.work(0)
        await settle()
    before = world.loop.now
    await closing

    assert world.loop.now == before  # nobody was forgotten until the drain time was over

    await settle()
    return world


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(STEP, max_size=60),
    places=st.integers(1, 3),
    is_idempotent=st.booleans(),
    goal=st.sampled_from([None, 20.0]),
)
def test_everybody_hears_exactly_once_of_his_own_rows_and_in_time(
    steps: Steps, places: int, is_idempotent: bool, goal: float | None
) -> None:
    world = run_virtually(play(steps, places, is_idempotent, goal))

    assert world.batcher.rows_waiting == world.batcher.rows_in_flight == 0

    for caller in world.callers:
        assert len(caller.heard) == 1

        at, what = caller.heard[0]
        event(what.__name__ if isinstance(what, type) else type(what).__name__)

        assert at <= caller.ticket.deadline + 0.0031
        assert what is not None or caller.has_left

        if isinstance(what, list):
            assert what == [value + 1000 for value in caller.values]
        elif what is ModelFailed:
            assert any(value % GUILTY == 0 for value in caller.values)
        elif what is DeadlineExceeded:
            # Rows give way to those behind them when less time is left than a batch takes, and none took longer than
            # this world is old.
            assert caller.ticket.deadline - at <= at - BEGIN + 1e-6
        elif what is NotReady:
            assert any(step == ("refuse", 0, 0, True) for step in steps)
        else:
            assert what in (None, WorkerFailed)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEP, max_size=60), places=st.integers(1, 2), goal=st.sampled_from([None, 20.0]))
def test_a_quick_look_at_who_comes_lets_in_whom_a_thorough_one_lets_in(
    steps: Steps, places: int, goal: float | None
) -> None:
    quick = run_virtually(play(steps, places, True, goal))
    thorough = run_virtually(play(steps, places, True, goal, Thorough))

    assert quick.refused == thorough.refused
    assert [caller.heard for caller in quick.callers] == [caller.heard for caller in thorough.callers]


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(STEP, max_size=60))
def test_no_row_is_computed_more_often_than_its_promises_allow(steps: Steps) -> None:
    """Without losses, an innocent request that shared no batch with a guilty one is scored exactly once."""

    async def scenario() -> World:
        world = World(2, is_idempotent=True, goal=None)
        for what, number, _, flag in steps:
            if what == "arrive":
                world.arrive(number, 60_000, flag)
            elif what == "work":
                world.work(number)
            await asyncio.sleep(0)
        while world.scorer.held:
            world.work(0)
            await settle()
        await world.batcher.close(1)
        return world

    world = run_virtually(scenario())
    tainted = {value for batch in world.scorer.seen if any(v % GUILTY == 0 for v in batch) for value in batch}
    seen = [value for batch in world.scorer.seen for value in batch if value not in tainted]

    assert len(seen) == len(set(seen))
