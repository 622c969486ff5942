"""How reads, answers and changes may follow each other; the order is the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from feature_cache.circuit import Circuit
from feature_cache.connection import Answered
from feature_cache.counters import Counters
from feature_cache.encoding import RowCodec
from feature_cache.errors import Unavailable
from feature_cache.fetch import Fetch, Waiter
from feature_cache.local import LocalCopy
from feature_cache.reader import Reader
from feature_cache.resp import ReplyError
from feature_cache.row import RowState
from feature_cache.stored_view import StoredView
from tests.support.feature_views import TIME_US, make_view
from tests.support.virtual_loop import on_virtual_time, settle

VIEW = make_view()
STORED = StoredView(VIEW)
OLD, NEW = (RowCodec(VIEW).encode([value], TIME_US) for value in (1.0, 2.0))
FOUND, UNAVAILABLE = RowState.FOUND, RowState.UNAVAILABLE


class HeldNode:
    """A server that answers when the test says so."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.circuit = Circuit(3, 60.0, 60.0)
        self.sent: list[Answered] = []
        self.payloads: list[bytes] = []
        self.is_connected = True

    @property
    def is_up(self) -> bool:
        return self.is_connected and self.circuit.is_closed

    def pick(self) -> Any:
        return self if self.is_connected else None

    def failed(self) -> None:
        self.circuit.failed(self.clock())

    def send(self, payload: bytes, count: int, asker: Answered) -> None:
        self.payloads.append(payload)
        self.sent.append(asker)


class OneNode:
    def __init__(self, node: HeldNode) -> None:
        self.nodes: Sequence[Any] = (node,)
        self.elsewhere: Any = None

    def node_for(self, key: bytes) -> Any:
        return self.nodes[0]

    def redirected(self, error: ReplyError) -> Any:
        return self.elsewhere

    async def run(self, on_change: Callable[[], None]) -> None: ...


class Bench:
    """A reader with a local copy that is in use."""

    def __init__(self) -> None:
        clock = asyncio.get_running_loop().time
        self.clock = clock
        self.node = HeldNode(clock)
        self.topology = OneNode(self.node)
        self.counters = Counters()
        self.local = LocalCopy(max_rows=10, max_bytes=10**6, ttl=60.0, last_known_for=60.0, counters=self.counters)
        self.local.resume()
        self.reader = Reader(self.topology, self.local, self.counters, timeout=1.0, max_rows=100, clock=clock)

    def ask(self, n: int = 1) -> tuple[Fetch, Waiter]:
        waiter = Waiter(asyncio.get_running_loop().create_future())
        fetch = self.reader.fetch(STORED, STORED.key((n,)), (n,), waiter, self.clock())
        self.reader.bound(waiter, self.clock(), None)
        return fetch, waiter

    def change(self, n: int = 1) -> None:
        """An invalidation."""
        self.local.drop(STORED.key((n,)))
        self.reader.forget([STORED.key((n,))])

    def at_hand(self, n: int = 1) -> object:
        row = self.local.get(STORED.key((n,)), self.clock())
        return None if row is None else row.values


@on_virtual_time
async def test_a_row_that_changed_while_it_was_fetched_is_not_kept() -> None:
    b = Bench()
    fetch, _ = b.ask()
    await settle()
    b.change()
    b.node.sent[0].answered([OLD])

    assert fetch.row is not None
    assert b.at_hand() is None


@on_virtual_time
async def test_who_asks_after_a_change_does_not_get_the_answer_from_before() -> None:
    b = Bench()
    before, _ = b.ask()
    await settle()
    b.change()
    after, _ = b.ask()
    await settle()
    b.node.sent[0].answered([OLD])
    b.node.sent[1].answered([NEW])

    assert before.row is not None
    assert after.row is not None
    assert (before.row.values, after.row.values) == ((1.0,), (2.0,))
    assert b.at_hand() == (2.0,)


@on_virtual_time
async def test_an_old_answer_that_comes_last_does_not_replace_the_new_one() -> None:
    b = Bench()
    b.ask()
    await settle()
    b.change()
    b.ask()
    await settle()
    b.node.sent[1].answered([NEW])
    b.node.sent[0].answered([OLD])

    assert b.at_hand() == (2.0,)


@on_virtual_time
async def test_a_stuck_fetch_whose_key_changed_after_it_was_replaced_is_not_kept() -> None:
    b = Bench()
    b.ask()
    await asyncio.sleep(2.0)  # longer than anybody's patience: the next one asks anew
    b.ask()
    await settle()
    b.node.sent[1].answered([OLD])
    b.change()
    b.node.sent[0].answered([OLD])

    assert b.at_hand() is None


@on_virtual_time
async def test_a_row_fetched_over_the_loss_of_changes_is_not_kept() -> None:
    b = Bench()
    b.ask()
    await settle()
    b.local.suspend(b.clock())
    b.local.resume()
    b.node.sent[0].answered([OLD])

    assert b.at_hand() is None


@on_virtual_time
async def test_when_everything_changed_no_fetch_under_way_is_kept() -> None:
    b = Bench()
    b.ask()
    await settle()
    b.local.drop_all()
    b.reader.forget(None)
    b.ask()
    await settle()
    b.node.sent[0].answered([OLD])

    assert b.at_hand() is None
    assert len(b.node.sent) == 2


@on_virtual_time
async def test_who_asks_for_what_is_being_fetched_waits_for_the_same() -> None:
    b = Bench()
    first, _ = b.ask()
    await settle()
    second, waiter = b.ask()
    b.node.sent[0].answered([OLD])

    assert first is second
    assert waiter.is_done
    assert (b.counters.round_trips, b.counters.joined) == (1, 1)


@on_virtual_time
async def test_a_stuck_fetch_is_not_waited_for_again() -> None:
    b = Bench()
    b.ask()
    await asyncio.sleep(1.0)
    b.ask()
    await settle()

    assert len(b.node.sent) == 2


@on_virtual_time
async def test_time_is_up_for_those_who_wait_and_the_answer_is_still_of_use() -> None:
    b = Bench()
    fetch, waiter = b.ask()
    await asyncio.sleep(1.0)
    await settle()

    assert waiter.is_late
    assert fetch.row is None

    b.node.sent[0].answered([OLD])

    assert b.at_hand() == (1.0,)
    assert b.reader.rows_in_flight == 0


@on_virtual_time
async def test_a_round_trip_that_is_late_is_a_failure_of_the_server() -> None:
    b = Bench()
    for n in range(3):
        b.ask(n)
        await settle()
    await asyncio.sleep(1.0)
    await settle()
    sent = len(b.node.sent)
    fetch, _ = b.ask(9)
    await settle()

    assert not b.node.circuit.is_closed
    assert b.counters.late == 3
    assert fetch.row is not None
    assert (fetch.row.state, len(b.node.sent)) == (UNAVAILABLE, sent)


@on_virtual_time
async def test_rows_of_a_lost_connection_are_asked_for_once_more() -> None:
    b = Bench()
    fetch, _ = b.ask()
    await settle()
    b.node.sent[0].failed(Unavailable("lost"))
    b.node.sent[1].answered([OLD])

    assert fetch.row is not None
    assert fetch.row.state is FOUND


@on_virtual_time
async def test_rows_that_were_lost_twice_are_given_up() -> None:
    b = Bench()
    fetch, waiter = b.ask()
    await settle()
    b.node.sent[0].failed(Unavailable("lost"))
    b.node.sent[1].failed(Unavailable("lost again"))

    assert waiter.is_done
    assert fetch.row is not None
    assert (fetch.row.state, fetch.row.error) == (UNAVAILABLE, "lost again")
    assert b.reader.rows_in_flight == 0


@on_virtual_time
async def test_without_a_connection_nobody_waits() -> None:
    b = Bench()
    b.node.is_connected = False
    fetch, waiter = b.ask()
    await settle()

    assert waiter.is_done
    assert fetch.row is not None
    assert fetch.row.error == "not connected"


@on_virtual_time
async def test_a_redirect_that_leads_in_a_circle_ends() -> None:
    b = Bench()
    b.topology.elsewhere = b.node
    fetch, _ = b.ask()
    await settle()
    for hop in range(5):
        b.node.sent[hop].answered([ReplyError("MOVED 7 a:1")])

    assert fetch.row is not None
    assert (fetch.row.state, fetch.row.error) == (UNAVAILABLE, "it answered MOVED")
    assert b.counters.redirects == 4


@on_virtual_time
async def test_a_slot_on_its_way_is_asked_for_with_asking() -> None:
    b = Bench()
    b.topology.elsewhere = b.node
    fetch, _ = b.ask()
    await settle()
    b.node.sent[0].answered([ReplyError("ASK 7 a:1")])
    b.node.sent[1].answered([b"OK", OLD])

    assert b.node.payloads[1].startswith(b"*1\r\n$6\r\nASKING\r\n*2\r\n$3\r\nGET\r\n")
    assert fetch.row is not None
    assert fetch.row.values == (1.0,)


@on_virtual_time
async def test_closing_wakes_all_who_wait() -> None:
    b = Bench()
    _, waiter = b.ask()
    await settle()
    b.reader.close()

    assert waiter.is_late
