"""One connection on a transport that a test holds in its hands: what is read, what waits, and who is cut off when."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from typing import Any

import msgspec
from structlog.testing import capture_logs

from gateway.core.errors import GatewayError
from gateway.edge.config import EdgeConfig
from gateway.edge.http1_connection import Connection
from gateway.edge.http_message import HttpRequest, HttpResponse

CONFIG = EdgeConfig(max_body_bytes=1_000_000, max_header_bytes=2048, idle_timeout_ms=75_000, body_timeout_ms=60_000)
GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
SCORE = b"POST /score HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b"
UPLOAD = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n"


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.is_reading_on, self.is_ended, self.is_closed, self.is_aborted = True, False, False, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.is_ended = True

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.is_reading_on = False

    def resume_reading(self) -> None:
        self.is_reading_on = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    @property
    def statuses(self) -> list[int]:
        return [int(code) for code in re.findall(rb"HTTP/1.1 (\d{3}) ", self.written)]


class Trace:
    """Something that goes when nobody holds the request that it hangs on."""


class HeldExchange:
    """Answers each request with its path when it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.bodies: list[bytes] = []
        self.tasks: list[asyncio.Task[Any] | None] = []
        self.traces: list[weakref.ref[Trace]] = []
        self.let_go = asyncio.Semaphore(0)

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        self.begun.append(request.path)
        self.bodies.append(request.body)
        self.tasks.append(asyncio.current_task())
        trace: Any = Trace()
        request.call = trace
        self.traces.append(weakref.ref(trace))
        del trace
        await self.let_go.acquire()
        return HttpResponse(200, request.path.encode())

    def refuse(self, request: HttpRequest, error: GatewayError) -> HttpResponse:
        return HttpResponse(400, str(error).encode())


class FakeOwner:
    def __init__(self, config: EdgeConfig = CONFIG) -> None:
        self.config, self.exchange = config, HeldExchange()
        self.clock = lambda: 0.0
        self.now, self.is_draining, self.held = 0.0, False, 0
        self.left: list[asyncio.Task[None] | None] = []

    def opened(self, connection: Connection) -> None: ...
    def settled(self, connection: Connection) -> None: ...
    def gone(self, connection: Connection, task: asyncio.Task[None] | None) -> None:
        self.left.append(task)


def connect(config: EdgeConfig = CONFIG) -> tuple[Connection, FakeTransport, FakeOwner]:
    owner, transport = FakeOwner(config), FakeTransport()
    connection = Connection(owner)  # type: ignore[arg-type]
    connection.connection_made(transport)
    return connection, transport, owner


async def turns(count: int = 8) -> None:
    """Everything that can happen without outside help has happened."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_request_at_a_time_is_worked_on() -> None:
    connection, _, owner = connect()
    connection.data_received(b"".join(GET % i for i in range(5)))
    await turns()

    assert owner.exchange.begun == ["/0"]

    connection.connection_lost(None)


async def test_a_client_that_sends_far_ahead_is_not_read_any_more() -> None:
    connection, transport, _ = connect()
    connection.data_received(b"".join(GET % i for i in range(17)))

    assert not transport.is_reading_on

    connection.connection_lost(None)


async def test_a_few_requests_ahead_do_not_stop_the_reading() -> None:
    connection, transport, _ = connect()
    connection.data_received(b"".join(GET % i for i in range(16)))

    assert transport.is_reading_on

    connection.connection_lost(None)


async def test_whatever_was_sent_ahead_is_answered_in_order() -> None:
    connection, transport, owner = connect()
    for i in range(0, 5000, 1000):
        connection.data_received(b"".join(GET % n for n in range(i, i + 1000)))
    for _ in range(5000):
        owner.exchange.let_go.release()
    await turns()

    assert owner.exchange.begun == [f"/{n}" for n in range(5000)]
    assert (len(transport.statuses), transport.is_reading_on) == (5000, True)


async def test_of_a_burst_only_a_part_is_read_before_it_is_due() -> None:
    connection, _, _ = connect()
    connection.data_received(b"".join(GET % n for n in range(20_000)))

    assert connection._ahead is not None
    assert len(connection._ahead) < 1000

    connection.connection_lost(None)


async def test_a_large_body_behind_a_request_in_work_waits_outside() -> None:
    connection, transport, owner = connect()
    connection.data_received(GET % 0 + UPLOAD % (600_000, b""))
    connection.data_received(b"x" * 300_000)
    is_held_back = not transport.is_reading_on
    owner.exchange.let_go.release()
    await turns()

    assert (is_held_back, transport.is_reading_on) == (True, True)

    connection.data_received(b"x" * 300_000)
    await turns()

    assert owner.exchange.begun == ["/0", "/up"]

    connection.connection_lost(None)


async def test_nothing_is_begun_for_a_client_that_does_not_read() -> None:
    connection, _, owner = connect()
    connection.data_received(GET % 0 + GET % 1)
    await turns()
    connection.pause_writing()
    owner.exchange.let_go.release()
    await turns()
    begun = list(owner.exchange.begun)
    connection.resume_writing()
    await turns()

    assert (begun, owner.exchange.begun) == (["/0"], ["/0", "/1"])

    connection.connection_lost(None)


async def test_an_answer_that_is_not_taken_in_time_is_given_up() -> None:
    connection, transport, _ = connect()
    connection.pause_writing()
    transport.unsent = 100_000
    connection.sweep(65.0, 5.0)
    is_early = transport.is_aborted
    connection.sweep(65.1, 5.0)

    assert (is_early, transport.is_aborted) == (False, True)


async def test_an_answer_that_is_taken_drop_by_drop_wins_no_time() -> None:
    connection, transport, _ = connect()
    connection.pause_writing()
    for now in range(10, 60, 5):
        transport.unsent = 100_000 - now
        connection.sweep(float(now), 5.0)
    is_early = transport.is_aborted
    connection.sweep(65.1, 5.0)

    assert (is_early, transport.is_aborted) == (False, True)


async def test_each_answer_has_its_own_time_to_be_taken() -> None:
    connection, transport, owner = connect()
    connection.pause_writing()
    connection.resume_writing()
    owner.now = 60.0
    connection.pause_writing()
    connection.sweep(120.0, 5.0)

    assert not transport.is_aborted


async def test_an_idle_client_that_has_not_taken_its_last_answer_is_cut_off() -> None:
    connection, transport, _ = connect()
    transport.unsent = 100
    connection.sweep(80.1, 5.0)

    assert (transport.is_aborted, transport.is_closed) == (True, False)


async def test_an_idle_connection_is_closed_after_its_time_and_not_before() -> None:
    connection, transport, _ = connect()
    connection.sweep(80.0, 5.0)
    is_early = transport.is_closed
    connection.sweep(80.1, 5.0)

    assert (is_early, transport.is_closed, transport.written) == (False, True, b"")


async def test_a_head_that_trickles_in_wins_no_time() -> None:
    connection, transport, owner = connect()
    for i, byte in enumerate(GET[:20]):
        owner.now = i * 4.0
        connection.data_received(bytes([byte]))
        connection.sweep(owner.now, 5.0)
    before = transport.statuses
    connection.sweep(20.0 + 80.1, 5.0)  # its target began to arrive in the fifth piece, at 16 s
    await turns()

    assert (before, transport.statuses, b"did not arrive" in transport.written) == ([], [400], True)


async def test_a_head_has_its_time_from_its_beginning_however_long_nothing_came() -> None:
    connection, transport, owner = connect()
    head = GET % 7
    owner.now = 74.0
    connection.data_received(head[:20])
    connection.sweep(75.0, 5.0)
    connection.sweep(100.0, 5.0)
    connection.data_received(head[20:])
    await turns()

    assert (transport.is_closed, owner.exchange.begun) == (False, ["/7"])

    connection.connection_lost(None)


async def test_less_than_a_target_is_closed_without_a_word() -> None:
    connection, transport, _ = connect()
    connection.data_received(b"GE")
    connection.sweep(80.1, 5.0)

    assert (transport.is_closed, transport.written) == (True, b"")


async def test_a_request_that_is_worked_on_has_no_limit_here() -> None:
    connection, transport, _ = connect()
    connection.data_received(GET % 0)
    connection.sweep(100_000.0, 5.0)

    assert not transport.is_closed

    connection.connection_lost(None)


async def test_a_body_that_trickles_in_wins_no_time() -> None:
    connection, transport, owner = connect()
    connection.data_received(UPLOAD % (100, b""))
    for i in range(16):
        owner.now = i * 4.0
        connection.data_received(b"x")
    connection.sweep(65.0, 5.0)
    is_early = connection._task is not None
    connection.sweep(65.1, 5.0)
    await turns()

    assert (is_early, transport.statuses) == (False, [400])
    assert b"the body did not arrive within 60000 ms" in transport.written


async def with_a_remembered_head() -> tuple[Connection, FakeTransport, FakeOwner]:
    """It has asked once, and is at rest."""
    connection, transport, owner = connect()
    owner.exchange.let_go.release()
    connection.data_received(SCORE % (5, b"hello"))
    await turns()
    return connection, transport, owner


async def test_a_remembered_head_and_its_body_may_come_apart() -> None:
    connection, transport, owner = await with_a_remembered_head()
    owner.exchange.let_go.release()
    connection.data_received(SCORE % (3, b""))
    is_busy = connection.is_busy
    connection.data_received(b"hel")
    await turns()

    assert (is_busy, owner.exchange.bodies, transport.statuses) == (True, [b"hello", b"hel"], [200, 200])
    assert not connection.is_busy

    connection.connection_lost(None)


async def test_the_body_of_a_remembered_head_has_its_time_and_no_more() -> None:
    connection, transport, owner = await with_a_remembered_head()
    owner.now = 10.0
    connection.data_received(SCORE % (3, b""))
    connection.sweep(75.0, 5.0)
    is_early = connection._is_deaf
    refused: list[str] = []
    owner.exchange.refuse = lambda request, error: refused.append(request.path) or HttpResponse(408)  # type: ignore[method-assign,func-returns-value]
    connection.sweep(75.1, 5.0)
    await turns()

    assert (is_early, transport.statuses, refused) == (False, [200, 408], ["/score"])


async def test_a_client_that_leaves_after_a_remembered_head_has_asked_nothing() -> None:
    connection, _, owner = await with_a_remembered_head()
    connection.data_received(SCORE % (3, b""))
    connection.connection_lost(None)
    await turns()

    assert owner.exchange.bodies == [b"hello"]


async def test_the_body_of_a_remembered_head_that_comes_piece_by_piece_is_held_for_all_to_see() -> None:
    connection, _, owner = await with_a_remembered_head()
    connection.data_received(SCORE % (3, b""))
    connection.data_received(b"he")
    held = owner.held
    connection.data_received(b"l")
    await turns()

    assert (held, owner.held, owner.exchange.bodies[1:]) == (2, 0, [b"hel"])

    connection.connection_lost(None)


async def test_a_refusal_ends_our_half_and_drops_what_still_comes() -> None:
    connection, transport, _ = connect()
    connection.data_received(b"nonsense\r\n\r\n")
    await turns()
    connection.data_received(GET % 0)
    await turns()

    assert (transport.statuses, transport.is_ended, transport.is_closed) == ([400], True, False)


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    connection, transport, owner = connect()
    connection.data_received(GET % 0 + b"nonsense\r\n\r\n")
    await turns()
    before = transport.statuses
    owner.exchange.let_go.release()
    await turns()

    assert (before, transport.statuses) == ([], [200, 400])


async def test_a_last_answer_that_nobody_takes_is_not_kept_for_ever() -> None:
    connection, transport, _ = connect()
    connection.data_received(b"nonsense\r\n\r\n")
    await turns()
    connection.sweep(80.1, 5.0)

    assert transport.is_aborted


async def test_100_continue_is_said_after_the_answers_that_are_due_first() -> None:
    connection, transport, owner = connect()
    connection.data_received(GET % 0 + UPLOAD % (5, b"Expect: 100-continue\r\n"))
    await turns()
    before = transport.statuses
    owner.exchange.let_go.release()
    await turns()

    assert (before, transport.statuses) == ([], [200, 100])


async def test_100_continue_is_not_said_when_the_body_is_there() -> None:
    connection, transport, owner = connect()
    connection.data_received(UPLOAD % (5, b"Expect: 100-continue\r\n") + b"hello")
    owner.exchange.let_go.release()
    await turns()

    assert transport.statuses == [200]


async def test_who_leaves_before_the_work_began_costs_nothing() -> None:
    connection, _, owner = connect()
    connection.data_received(GET % 0)
    connection.connection_lost(None)
    await turns()

    assert owner.exchange.begun == []


async def test_closing_hands_over_a_task_that_is_being_cancelled() -> None:
    connection, _, owner = connect()
    connection.data_received(GET % 0)
    await turns()
    connection.connection_lost(None)
    await turns()

    assert [task is not None and task.cancelled() for task in owner.left] == [True]


async def test_a_server_that_drains_says_close_on_the_last_answer_only() -> None:
    connection, transport, owner = connect()
    connection.data_received(GET % 0 + GET % 1)
    await turns()
    owner.is_draining = True
    owner.exchange.let_go.release()
    owner.exchange.let_go.release()
    await turns()

    assert [b"close" in answer for answer in transport.written.split(b"HTTP/1.1 ")[1:]] == [False, True]
    assert transport.is_closed


async def test_a_short_limit_is_kept_too() -> None:
    connection, transport, _ = connect(msgspec.structs.replace(CONFIG, idle_timeout_ms=1))
    connection.sweep(0.03, 0.02)

    assert transport.is_closed


async def test_an_answer_of_ours_that_would_break_the_line_is_a_500() -> None:
    connection, transport, owner = connect()

    async def break_the_line(request: HttpRequest, /) -> HttpResponse:
        return HttpResponse(200, headers=[("x-name", "a\r\nb")])

    owner.exchange = break_the_line  # type: ignore[assignment]
    with capture_logs() as logs:
        connection.data_received(GET % 0)
        await turns()

    assert (transport.statuses, [entry["event"] for entry in logs]) == ([500], ["edge.answer_broken"])

    connection.connection_lost(None)


async def answered(connection: Connection, owner: FakeOwner, *pieces: bytes) -> None:
    for piece in pieces:
        connection.data_received(piece)
        owner.exchange.let_go.release()
        await turns()


async def test_a_head_that_came_before_is_not_parsed_again() -> None:
    connection, transport, owner = connect()
    await answered(connection, owner, SCORE % (1, b"a"))
    connection._reader.close()  # from now on it reads nothing
    await answered(connection, owner, SCORE % (1, b"b"), SCORE % (2, b"cd"))

    assert (owner.exchange.bodies, transport.statuses) == ([b"a", b"b", b"cd"], [200] * 3)

    connection.connection_lost(None)


async def test_what_is_recognized_waits_until_the_one_before_it_is_answered() -> None:
    connection, _, owner = connect()
    await answered(connection, owner, SCORE % (1, b"a"))
    connection.data_received(SCORE % (1, b"b"))
    connection.data_received(SCORE % (1, b"c"))
    await turns()

    assert owner.exchange.bodies == [b"a", b"b"]

    connection.connection_lost(None)


async def test_a_body_that_looks_like_a_request_is_a_body() -> None:
    connection, _, owner = connect()
    inner = SCORE % (1, b"b")
    await answered(connection, owner, SCORE % (1, b"a"))
    connection.data_received(SCORE % (2 * len(inner), b""))
    connection.data_received(inner)
    await turns()
    begun = list(owner.exchange.bodies)
    connection.data_received(inner)
    await turns()

    assert (begun, owner.exchange.bodies) == ([b"a"], [b"a", inner + inner])

    connection.connection_lost(None)


async def test_what_is_recognized_is_answered_in_order_with_what_is_not() -> None:
    connection, transport, owner = connect()
    score = [SCORE % (1, b"%d" % i) for i in range(6)]
    for piece in (score[0], score[1], score[2] + score[3], GET % 1, score[4], score[5][:-1], score[5][-1:]):
        connection.data_received(piece)
        await turns(2)
    for _ in range(7):
        owner.exchange.let_go.release()
    await turns(20)

    assert owner.exchange.bodies == [b"0", b"1", b"2", b"3", b"", b"4", b"5"]
    assert transport.statuses == [200] * 7

    connection.connection_lost(None)


async def test_a_client_that_comes_again_soon_wakes_the_task_that_answered_it() -> None:
    connection, _, owner = connect()
    await answered(connection, owner, GET % 0, SCORE % (1, b"a"), SCORE % (1, b"b"))

    assert len(set(owner.exchange.tasks)) == 1

    connection.connection_lost(None)


async def test_a_task_without_work_does_not_make_its_connection_busy() -> None:
    connection, _, owner = connect()
    await answered(connection, owner, GET % 0)

    assert (connection._task is not None, connection.is_busy) == (True, False)

    connection.connection_lost(None)


async def test_a_task_without_work_goes_when_nothing_came_between_two_sweeps() -> None:
    connection, transport, owner = connect()
    await answered(connection, owner, GET % 0)
    connection.sweep(5.0, 5.0)
    is_early = connection._task is None
    connection.sweep(5.1, 5.0)
    await turns()
    task = owner.exchange.tasks[0]

    assert task is not None
    assert (is_early, connection._task, task.done(), task.cancelled()) == (False, None, True, False)
    assert not transport.is_closed


async def test_who_comes_after_the_task_has_gone_is_answered_by_another() -> None:
    connection, transport, owner = connect()
    await answered(connection, owner, SCORE % (1, b"a"))
    connection.sweep(5.1, 5.0)
    await answered(connection, owner, SCORE % (1, b"b"), GET % 1)

    assert (owner.exchange.bodies, transport.statuses) == ([b"a", b"b", b""], [200] * 3)
    assert len(set(owner.exchange.tasks)) == 2

    connection.connection_lost(None)


async def test_a_client_that_leaves_while_nothing_is_answered_leaves_no_task() -> None:
    connection, _, owner = connect()
    await answered(connection, owner, GET % 0)
    connection.connection_lost(None)
    await turns()
    task = owner.exchange.tasks[0]

    assert task is not None
    assert (owner.left, task.done()) == ([None], True)


async def test_closing_a_connection_without_work_ends_its_task_in_peace() -> None:
    connection, transport, owner = connect()
    await answered(connection, owner, GET % 0)
    connection.close()
    await turns()
    task = owner.exchange.tasks[0]

    assert task is not None
    assert (task.done(), task.cancelled(), transport.is_closed) == (True, False, True)


async def test_who_leaves_before_a_woken_task_ran_costs_nothing() -> None:
    connection, _, owner = connect()
    await answered(connection, owner, GET % 0)
    connection.data_received(GET % 1)
    connection.connection_lost(None)
    await turns()

    assert owner.exchange.begun == ["/0"]
    assert [task is not None and task.cancelled() for task in owner.left] == [True]


async def test_who_leaves_in_the_middle_of_a_later_request_cancels_it() -> None:
    connection, _, owner = connect()
    await answered(connection, owner, SCORE % (1, b"a"))
    connection.data_received(SCORE % (1, b"b"))
    await turns()
    connection.connection_lost(None)
    await turns()

    assert owner.exchange.bodies == [b"a", b"b"]
    assert [task is not None and task.cancelled() for task in owner.left] == [True]


async def test_a_cancelled_task_without_work_takes_its_connection_with_it() -> None:
    connection, transport, owner = connect()
    await answered(connection, owner, GET % 0)
    task = owner.exchange.tasks[0]
    assert task is not None
    task.cancel()  # as whoever ends the loop does
    connection.data_received(GET % 1)
    await turns()

    assert transport.is_closed

    connection.connection_lost(None)


async def test_a_silent_client_costs_no_memory_for_what_it_sent() -> None:
    connection, _, owner = connect()
    await answered(connection, owner, SCORE % (1, b"a"), SCORE % (1, b"b"), GET % 0)
    gc.collect()

    assert [trace() for trace in owner.exchange.traces] == [None] * 3

    connection.connection_lost(None)


async def test_a_request_that_is_recognized_during_a_drain_is_the_last() -> None:
    connection, transport, owner = connect()
    await answered(connection, owner, SCORE % (1, b"a"))
    owner.is_draining = True
    await answered(connection, owner, SCORE % (1, b"b"))

    assert (transport.written.count(b"Connection: close"), transport.is_closed) == (1, True)
    assert connection._task is None


async def test_after_a_refusal_nothing_is_recognized() -> None:
    connection, transport, owner = connect()
    await answered(connection, owner, SCORE % (1, b"a"))
    connection.data_received(b"nonsense\r\n\r\n")
    await turns()
    await answered(connection, owner, SCORE % (1, b"b"))

    assert (owner.exchange.bodies, transport.statuses) == ([b"a"], [200, 400])
