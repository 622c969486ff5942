"""Workers without connections: a test says what becomes of their streams, and looks at how much they seem to take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.scoring import Outcome, Scored, WorkerLost
from gateway.pool.breaker import BreakerState
from gateway.pool.channel import ChannelState, WorkerChannel
from gateway.pool.codec import description_of
from gateway.pool.config import PoolConfig
from gateway.pool.flight import Outstanding
from gateway.pool.room import Rooms
from tests.support.fake_worker import answer, description, failure
from tests.support.held_scorer import numbers, rows_of
from tests.support.virtual_loop import VirtualLoop, on_virtual_time, run_virtually
from workers.wire.v1 import worker_pb2 as wire

CONFIG = PoolConfig(breaker_failures=2, breaker_open_ms=50, breaker_max_open_ms=100, hang_grace_ms=20)


class Played:
    """A worker and the far end of its stream."""

    def __init__(self, rooms: Rooms, name: str = "w") -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.changes = 0
        """Times that it said that it may take more."""
        self.has_room = False
        """Whether it took batches, as far as its words of changes tell, without those of answers."""
        self.refused: list[Outstanding] = []
        self.sent: list[wire.Batch] = []
        self.given_up: list[str] = []
        self.ends: list[list[Outcome]] = []
        self.channel = WorkerChannel(
            name,
            CONFIG,
            rooms,
            clock=self.loop.time,
            on_place=self._on_place,
            on_change=self._on_change,
            on_refused=self._on_refused,
        )

    def connect(self, state: ChannelState = ChannelState.READY) -> None:
        if not self.channel.is_connected:
            self.channel.describe(description_of(description()))
            self.channel.begin(state, self._put, self.given_up.append)

    def send(self, value: int, seconds: float = 5.0) -> list[Outcome]:
        """How the batch ends, once it has."""
        ends: list[Outcome] = []
        self.ends.append(ends)
        self.channel.send(Outstanding(rows_of(value), self.loop.now + seconds, ends.append), self.loop.now)
        return ends

    def say(self, reply: wire.Reply) -> None:
        self.channel.on_message(reply.SerializeToString())

    def take(self, index: int = 0) -> wire.Batch | None:
        return self.sent.pop(index % len(self.sent)) if self.sent else None

    def lose(self) -> None:
        if self.channel.is_connected:
            self.sent.clear()
            self.channel.lose("test")

    @property
    def room(self) -> tuple[bool, int, int]:
        """What it takes, worked out afresh: whether anything, batches, and batches ahead of their time."""
        channel = self.channel
        if channel.state is not ChannelState.READY:
            return False, 0, 0
        most = {
            BreakerState.CLOSED: CONFIG.batches_in_flight,
            BreakerState.OPEN: 0,
            BreakerState.HALF_OPEN: 1,
        }[channel.breaker.state]
        spare = max(0, most - channel.flight.batches)
        return most > 0, spare if channel._prefetch.is_open else 0, spare

    def _put(self, message: bytes) -> None:
        self.sent.append(wire.Batch.FromString(message))

    def _on_place(self) -> None:
        self.changes += 1

    def _on_change(self) -> None:
        self.changes += 1
        self.has_room = self.channel.flight.is_open

    def _on_refused(self, batch: Outstanding) -> None:
        self.refused.append(batch)


def slow(batch: wire.Batch) -> wire.Reply:
    """An answer that took long enough for the next batch to be worth holding back."""
    reply = answer(batch)
    reply.compute_ns = 40_000_000
    return reply


def quick(batch: wire.Batch) -> wire.Reply:
    """An answer that took too little time for any timer."""
    reply = answer(batch)
    reply.compute_ns = 1_000
    return reply


REPLIES: dict[str, Callable[[wire.Batch], wire.Reply]] = {
    "answer": answer,
    "slow": slow,
    "quick": quick,
    "model": failure(wire.Failure.MODEL),
    "internal": failure(wire.Failure.INTERNAL),
    "refused": failure(wire.Failure.REFUSED),
    "nonsense": lambda batch: wire.Reply(id=batch.id, rows=batch.rows + 1),
}
STATES = {"ready": wire.READY, "resting": wire.RESTING, "draining": wire.DRAINING}

WHO = st.sampled_from([0, 0, 0, 1, 2])
WHAT = st.one_of(
    st.just("send"),
    st.just("send"),
    st.sampled_from([*REPLIES]),
    st.sampled_from(["answer", "slow"]),
    st.sampled_from([*STATES]),
    st.sampled_from(["connect", "connect", "lose", "garbage"]),
    st.just("time"),
)


FULL_ONE_TO_A_SLOW_WORKER = [("send", 0, 1), ("slow", 0, 1), ("send", 0, 1), ("send", 0, 1)]


@settings(max_examples=200, deadline=None)
@example(steps=FULL_ONE_TO_A_SLOW_WORKER)
@example(steps=[("send", 0, 1), ("internal", 0, 1)] * 2)
@example(steps=[*FULL_ONE_TO_A_SLOW_WORKER, ("quick", 0, 0), ("quick", 0, 0)])
@given(steps=st.lists(st.tuples(WHAT, WHO, st.integers(1, 60)), max_size=60))
def test_what_is_kept_is_what_adding_up_would_give_and_every_batch_ends_once(steps: list[tuple[str, int, int]]) -> None:
    async def scenario() -> None:
        rooms = Rooms()
        workers = [Played(rooms, name) for name in "abc"]
        for worker in workers:
            worker.connect()
        for what, who, number in steps:
            worker = workers[who]
            if what == "send":
                if worker.channel.flight.is_open:
                    worker.send(number)
            elif what in REPLIES:
                if (batch := worker.take(number)) is not None:
                    worker.say(REPLIES[what](batch))
            elif what in STATES:
                worker.say(wire.Reply(state=STATES[what]))
            elif what == "connect":
                worker.connect()
            elif what == "lose":
                worker.lose()
            elif what == "garbage":
                worker.channel.on_message(b"\xff\xff")
            else:
                await asyncio.sleep(number / 1000)
                await asyncio.sleep(0)

            expected = [each.room for each in workers]

            assert [
                (w.channel.flight.is_open, w.channel.flight.places, w.channel.flight.spare) for w in workers
            ] == expected
            assert rooms.open == sum(is_open for is_open, _, _ in expected)
            assert rooms.places == sum(places for _, places, _ in expected)
            assert rooms.spare == sum(spare for _, _, spare in expected)
            assert worker.channel.flight.rows == worker.channel.flight.batches  # batches of one row
            assert [w.has_room for w in workers if not w.given_up] == [
                w.channel.flight.is_open for w in workers if not w.given_up
            ]

        for worker in workers:
            worker.lose()

            assert sorted(map(len, worker.ends)) == [0] * len(worker.refused) + [1] * (
                len(worker.ends) - len(worker.refused)
            )

        assert (rooms.open, rooms.places, rooms.spare) == (0, 0, 0)

    run_virtually(scenario())


@on_virtual_time
async def test_a_slow_worker_that_computes_takes_only_a_full_batch_until_it_is_half_done() -> None:
    worker = Played(rooms := Rooms())
    worker.connect()
    worker.send(1)
    worker.say(slow(worker.sent.pop()))
    worker.send(2)
    at_first = rooms.places, rooms.spare
    before = worker.changes
    await asyncio.sleep(0.021)

    assert (at_first, (rooms.places, rooms.spare), worker.changes) == ((0, 1), (1, 1), before + 1)


@on_virtual_time
async def test_a_worker_that_has_become_quick_takes_another_batch_as_soon_as_it_has_none() -> None:
    worker = Played(rooms := Rooms())
    worker.connect()
    reply = slow(wire.Batch(id=1, rows=1, records=bytes(8)))
    reply.compute_ns = 2_100_000  # worth a timer, and no longer after one that is quick
    for value in (1, 2, 3):
        worker.send(value)
        if value == 1:
            worker.sent.clear()
            worker.say(reply)
    places = [rooms.places]
    for batch in worker.sent:
        worker.say(quick(batch))
        places.append(rooms.places)

    assert places == [0, 0, 2]


@on_virtual_time
async def test_a_worker_hangs_a_grace_after_the_first_deadline_whichever_batch_came_first() -> None:
    worker = Played(Rooms())
    worker.connect()
    worker.send(1, seconds=5)
    worker.send(2, seconds=1)
    await asyncio.sleep(1.019)
    just_before = list(worker.given_up)
    await asyncio.sleep(0.002)

    assert (just_before, len(worker.given_up)) == ([], 1)


@on_virtual_time
async def test_a_batch_has_its_own_grace_where_an_earlier_one_was_answered() -> None:
    worker = Played(Rooms())
    worker.connect()
    worker.send(1, seconds=5)
    worker.send(2, seconds=5.01)
    worker.say(answer(worker.sent[0]))
    await asyncio.sleep(5.029)
    just_before = list(worker.given_up)
    await asyncio.sleep(0.002)

    assert (just_before, len(worker.given_up)) == ([], 1)


@on_virtual_time
async def test_a_slow_worker_that_is_done_early_takes_the_next_batch_at_once() -> None:
    worker = Played(rooms := Rooms())
    worker.connect()
    for value in (1, 2):
        worker.send(value)
        worker.say(slow(worker.sent.pop()))

    assert rooms.places == 2


@on_virtual_time
async def test_a_worker_that_fails_again_and_again_has_no_room_then_room_for_one_batch_and_then_all_of_it() -> None:
    worker = Played(rooms := Rooms())
    worker.connect()
    for value in (1, 2):
        worker.send(value)
        worker.say(failure(wire.Failure.INTERNAL)(worker.sent.pop()))
    seen = [(rooms.open, rooms.places, rooms.spare)]
    await asyncio.sleep(0.06)
    seen.append((rooms.open, rooms.places, rooms.spare))
    worker.send(3)
    worker.say(answer(worker.sent.pop()))
    seen.append((rooms.open, rooms.places, rooms.spare))

    assert seen == [(0, 0, 0), (1, 1, 1), (1, 2, 2)]


@on_virtual_time
async def test_a_batch_ends_in_the_turn_in_which_its_answer_comes_and_its_place_is_free_by_then() -> None:
    worker = Played(rooms := Rooms())
    worker.connect()
    places: list[int] = []
    worker.channel.send(
        Outstanding(rows_of(1), worker.loop.now + 5, lambda _: places.append(rooms.places)), worker.loop.now
    )
    while_out = rooms.places
    worker.say(answer(worker.sent[0]))

    assert (while_out, places) == (1, [2])


@on_virtual_time
async def test_whoever_waits_for_a_place_hears_after_the_batch_has_ended() -> None:
    worker = Played(Rooms())
    worker.connect()
    before = worker.changes
    heard: list[int] = []
    worker.channel.send(
        Outstanding(rows_of(1), worker.loop.now + 5, lambda _: heard.append(worker.changes)), worker.loop.now
    )
    worker.say(answer(worker.sent[0]))

    assert (heard, worker.changes) == ([before], before + 1)


@on_virtual_time
async def test_all_batches_of_a_lost_worker_end_and_it_has_left_by_then() -> None:
    worker = Played(Rooms())
    worker.connect()
    states: list[ChannelState] = []
    for value in (1, 2):
        worker.channel.send(
            Outstanding(rows_of(value), worker.loop.now + 5, lambda _: states.append(worker.channel.state)),
            worker.loop.now,
        )
    worker.lose()

    assert states == [ChannelState.LOST] * 2


@on_virtual_time
async def test_a_refused_batch_is_nobodys_end() -> None:
    worker = Played(Rooms())
    worker.connect()
    ends = worker.send(1)
    worker.say(failure(wire.Failure.REFUSED)(worker.sent[0]))

    assert (ends, len(worker.refused), worker.channel.state) == ([], 1, ChannelState.DRAINING)


@on_virtual_time
async def test_what_comes_after_the_end_of_a_stream_is_not_heard() -> None:
    worker = Played(Rooms())
    worker.connect()
    worker.lose()
    worker.say(wire.Reply(state=wire.READY))

    assert worker.channel.state is ChannelState.LOST


@on_virtual_time
async def test_nonsense_ends_the_stream() -> None:
    worker = Played(Rooms())
    worker.connect()
    worker.channel.on_message(b"\xff\xff")

    assert [reason.partition(":")[0] for reason in worker.given_up] == ["nonsense"]


@on_virtual_time
async def test_a_worker_that_hangs_is_given_up_after_the_grace() -> None:
    worker = Played(Rooms())
    worker.connect()
    worker.send(1, seconds=0.1)
    await asyncio.sleep(0.119)
    before = list(worker.given_up)
    await asyncio.sleep(0.002)

    assert (before, worker.given_up) == ([], ["no answer long after the deadline"])


@on_virtual_time
async def test_a_batch_in_time_is_no_hang_even_if_the_one_after_it_is() -> None:
    worker = Played(Rooms())
    worker.connect()
    worker.send(1, seconds=0.1)
    worker.send(2, seconds=0.3)
    worker.say(answer(worker.sent[0]))
    await asyncio.sleep(0.2)
    in_between = list(worker.given_up)
    await asyncio.sleep(0.2)

    assert (in_between, len(worker.given_up)) == ([], 1)


@on_virtual_time
async def test_a_stream_remembers_whether_it_ever_brought_an_answer() -> None:
    worker = Played(Rooms())
    worker.connect()
    before = worker.channel.has_answered
    ends = worker.send(1)
    worker.say(answer(worker.sent[0]))
    after = worker.channel.has_answered
    worker.lose()
    worker.connect()

    assert [before, after, worker.channel.has_answered] == [False, True, False]
    assert [numbers(end.rows) for end in ends if isinstance(end, Scored)] == [[1001]]


@on_virtual_time
async def test_a_lost_batch_names_its_worker_and_nothing_else() -> None:
    worker = Played(Rooms(), "unix:/run/secret")
    worker.connect()
    ends = worker.send(1)
    worker.lose()

    assert [(type(end), getattr(end, "worker", "")) for end in ends] == [(WorkerLost, "unix:/run/secret, process 1")]
    assert all("secret" not in str(end) for end in ends if isinstance(end, GatewayError))


@on_virtual_time
async def test_rows_whose_lengths_were_chosen_for_another_model_are_not_taken() -> None:
    def model(*names: str) -> wire.Description:
        inputs = [wire.Column(name=name, kind="float", datatype="FP32", shape=[-1]) for name in names]
        return description(inputs=inputs)

    channel = Played(Rooms()).channel
    channel.describe(description_of(model("a", "b")))
    chosen = channel.inputs.with_shapes([(3,), (3,)])
    taken = []
    for loaded in (model("a", "b"), model("b", "a"), model("a"), description(), model("a", "b")):
        channel.describe(description_of(loaded))
        taken.append((channel.takes(chosen), channel.takes(chosen)))

    assert taken == [(True, True), (False, False), (False, False), (False, False), (True, True)]


@on_virtual_time
async def test_a_batch_that_could_not_be_put_on_its_way_does_not_keep_its_place_for_ever() -> None:
    worker = Played(Rooms())

    def put(_: bytes) -> None:
        raise OSError("broken")

    worker.channel.describe(description_of(description()))
    worker.channel.begin(ChannelState.READY, put, worker.given_up.append)
    with pytest.raises(OSError, match="broken"):
        worker.send(1, seconds=0.1)
    await asyncio.sleep(0.121)

    assert worker.given_up == ["no answer long after the deadline"]
