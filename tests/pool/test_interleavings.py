"""
Any interleaving of callers, workers and reloads, thrown at batchers over a pool whose streams the test plays.

``tests/dispatch/test_interleavings.py`` plays the pool; here it is real, so that what its workers take, whom a batch
avoids and who is told when belongs to what may go wrong. A reload closes one batcher while its batches are out, and
another one takes its place on the same workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import DeadlineExceeded, ModelFailed, NotReady, Overloaded, WorkerFailed
from gateway.core.rows import Rows
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.config import BatchConfig
from gateway.dispatch.ticket import Ticket, TicketOfOneTry
from gateway.pool.channel import ChannelState, WorkerChannel
from gateway.pool.codec import description_of
from gateway.pool.config import PoolConfig
from gateway.pool.pool import Pool
from tests.support.fake_worker import answer, description, failure
from tests.support.held_scorer import numbers, rows_of
from tests.support.virtual_loop import VirtualLoop, run_virtually, settle
from workers.wire.v1 import worker_pb2 as wire

GUILTY = 7
"""Rows whose number is a multiple of this are refused by the model."""

SETTINGS = PoolConfig(
    breaker_failures=2, breaker_open_ms=50, breaker_max_open_ms=100, hang_grace_ms=20, soon_ms=40, batches_in_flight=2
)


@dataclass(eq=False)
class Caller:
    values: list[int]
    batcher: Batcher
    ticket: Ticket
    has_left: bool = False
    heard: list[tuple[float, list[int] | type[BaseException] | None]] = field(default_factory=list)


class Worker:
    """The far end of one channel's streams."""

    def __init__(self, channel: WorkerChannel) -> None:
        self.channel = channel
        self.sent: list[wire.Batch] = []
        self._streams = 0

    def connect(self) -> None:
        if not self.channel.is_connected:
            self._streams += 1
            self.channel.describe(description_of(description()))
            self.channel.begin(ChannelState.READY, self._put, self._on_given_up)

    def lose(self) -> None:
        if self.channel.is_connected:
            self.sent.clear()
            self.channel.lose("test")

    def say(self, reply: wire.Reply) -> None:
        self.channel.on_message(reply.SerializeToString())

    def work(self, index: int, reply_to: Callable[[wire.Batch], wire.Reply], *, is_said_twice: bool = False) -> None:
        if self.sent:
            reply = reply_to(self.sent.pop(index % len(self.sent)))
            for _ in range(1 + is_said_twice):
                self.say(reply)

    def _put(self, message: bytes) -> None:
        self.sent.append(wire.Batch.FromString(message))

    def _on_given_up(self, _: str) -> None:
        stream = self._streams
        asyncio.get_running_loop().call_soon(lambda: self.lose() if stream == self._streams else None)


class World:
    def __init__(self, workers: int, is_idempotent: bool, goal: float | None) -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.pool = Pool("e/d", [f"w{i}" for i in range(workers)], SETTINGS, clock=self.loop.time)
        self.workers = [Worker(channel) for channel in self.pool._channels]
        self.callers: list[Caller] = []
        self.batchers: list[Batcher] = []
        self.closing: list[asyncio.Task[None]] = []
        self._is_idempotent, self._goal, self._next = is_idempotent, goal, 1
        for worker in self.workers:
            worker.connect()
        self.reload(5)

    def reload(self, drain: float) -> None:
        if self.batchers:
            self.closing.append(self.loop.create_task(self.batchers[-1].close(drain)))
        config = BatchConfig(max_rows=4, max_queue_rows=40, latency_goal_ms=self._goal)
        self.batchers.append(Batcher("e/d", config, self.pool, is_idempotent=self._is_idempotent, clock=self.loop.time))

    def arrive(self, rows: int, milliseconds: int, has_one_try: bool) -> None:
        values = list(range(self._next, self._next + rows))
        self._next += rows
        batcher, kind = self.batchers[-1], TicketOfOneTry if has_one_try else Ticket
        try:
            ticket = batcher.accept(rows_of(*values), self.loop.now + milliseconds / 1000, None, kind)
        except (Overloaded, NotReady):
            return
        caller = Caller(values, batcher, ticket)
        self.callers.append(caller)
        ticket.reply.add_done_callback(lambda reply: caller.heard.append((self.loop.now, _what(reply))))

    def leave(self, index: int) -> None:
        if self.callers:
            caller = self.callers[index % len(self.callers)]
            caller.has_left = True
            caller.batcher.withdraw(caller.ticket)

    async def check_that_no_place_is_free_while_rows_wait(self) -> None:
        await settle()

        assert not self.pool.places or not any(batcher.rows_waiting or batcher._again for batcher in self.batchers)

    async def end(self) -> None:
        """Workers come back and do their work, until nobody waits for anything."""
        self.reload(5)
        for _ in range(200):
            for worker in self.workers:
                worker.connect()
                worker.say(wire.Reply(state=wire.READY))
                while worker.sent:
                    worker.work(0, score)
            await settle()
            if all(task.done() for task in self.closing):
                break
            await asyncio.sleep(0.01)
        await asyncio.gather(*self.closing, self.batchers[-1].close(5))
        for worker in self.workers:
            worker.lose()


def score(batch: wire.Batch) -> wire.Reply:
    data = batch.records
    values = [int.from_bytes(data[at : at + 8], "little", signed=True) for at in range(0, len(data), 8)]
    return failure(wire.Failure.MODEL)(batch) if any(value % GUILTY == 0 for value in values) else answer(batch)


def slow(batch: wire.Batch) -> wire.Reply:
    reply = score(batch)
    reply.compute_ns = 40_000_000
    return reply


def _what(reply: asyncio.Future[Rows]) -> list[int] | type[BaseException] | None:
    if reply.cancelled():
        return None
    error = reply.exception()
    return type(error) if error is not None else numbers(reply.result())


REPLIES: list[Callable[[wire.Batch], wire.Reply]] = [
    score,
    score,
    score,
    slow,
    slow,
    failure(wire.Failure.INTERNAL),
    failure(wire.Failure.REFUSED),
    failure(wire.Failure.TIMEOUT),
    lambda batch: wire.Reply(id=batch.id, rows=batch.rows + 1),
]
NUMBER = st.integers(0, 60)
STEP = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 13), st.integers(1, 300), st.booleans()),
    st.tuples(st.just("arrive"), st.integers(1, 2), st.integers(30, 300), st.just(False)),
    st.tuples(st.just("arrive"), st.integers(1, 2), st.integers(30, 300), st.just(False)),
    st.tuples(st.just("leave"), NUMBER, st.none(), st.none()),
    st.tuples(st.just("work"), NUMBER, st.sampled_from(REPLIES), st.booleans()),
    st.tuples(st.just("work"), NUMBER, st.sampled_from(REPLIES), st.booleans()),
    st.tuples(st.just("say"), NUMBER, st.sampled_from([wire.READY, wire.RESTING, wire.DRAINING]), st.none()),
    st.tuples(st.sampled_from(["lose", "connect", "garbage", "settle"]), NUMBER, st.none(), st.none()),
    st.tuples(st.just("turn"), NUMBER, st.none(), st.none()),
    st.tuples(st.just("time"), NUMBER, st.none(), st.none()),
    st.tuples(st.just("reload"), NUMBER, st.none(), st.none()),
)


async def play(steps: list[tuple[str, int, Any, Any]], workers: int, is_idempotent: bool, goal: float | None) -> World:
    world = World(workers, is_idempotent, goal)
    for what, number, how, flag in steps:
        worker = world.workers[number % workers]
        if what == "arrive":
            world.arrive(number, how, flag)
        elif what == "leave":
            world.leave(number)
        elif what == "work":
            worker.work(number, how, is_said_twice=flag)
        elif what == "say":
            worker.say(wire.Reply(state=how))
        elif what == "lose":
            worker.lose()
        elif what == "connect":
            worker.connect()
        elif what == "garbage":
            worker.channel.on_message(b"\xff\xff")
        elif what == "settle":
            await world.check_that_no_place_is_free_while_rows_wait()
        elif what == "reload":
            world.reload(number / 1000)
        else:
            await asyncio.sleep(number / 1000 if what == "time" else 0)
    await world.check_that_no_place_is_free_while_rows_wait()
    await world.end()
    await settle()
    return world


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(STEP, max_size=80),
    workers=st.integers(1, 3),
    is_idempotent=st.booleans(),
    goal=st.sampled_from([None, 20.0]),
)
def test_everybody_hears_once_of_his_own_rows_and_in_time_and_nothing_stays_behind(
    steps: list[tuple[str, int, Any, Any]], workers: int, is_idempotent: bool, goal: float | None
) -> None:
    world = run_virtually(play(steps, workers, is_idempotent, goal))

    assert [(b.rows_waiting, b.rows_in_flight, len(b._again)) for b in world.batchers] == [(0, 0, 0)] * len(
        world.batchers
    )
    assert (world.pool._callbacks, world.pool.open, world.pool.places, world.pool.spare) == ((), 0, 0, 0)

    for caller in world.callers:
        assert len(caller.heard) == 1

        at, what = caller.heard[0]

        assert at <= caller.ticket.deadline + 0.0031
        assert what is not None or caller.has_left

        if isinstance(what, list):
            assert what == [value + 1000 for value in caller.values]
        elif what is ModelFailed:
            assert any(value % GUILTY == 0 for value in caller.values)
        else:
            assert what in (None, WorkerFailed, NotReady, DeadlineExceeded)
