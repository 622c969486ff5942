"""Requests that trickle in and answers that nobody takes: how long they are waited for, on a clock of the test."""

from __future__ import annotations

from typing import Any, TypeVar

import ngh2
import pytest

from h2grpc.counters import Counters
from h2grpc.events import CallLost, Event, OtherArrived
from h2grpc.limits import Limits
from h2grpc.other import OtherAnswer
from h2grpc.server_protocol import ServerConnection
from h2grpc.status import Status
from tests.support.h2grpc_frames import END_HEADERS, GREETING, HEADERS, frame, request_block
from tests.support.h2grpc_wire import calls_of, of

E = TypeVar("E")

LIMITS = Limits(request_timeout=10.0, answer_timeout=10.0, stalled=None, keepalive=None)
POST = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/x")]
GRPC = (b"content-type", b"application/grpc")
MESSAGE = b"\0\0\0\0\x05hello"


class Line:
    """A server and a client that opens its windows only when it is told to."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.now, self.counters = 100.0, Counters()
        self.server = ServerConnection(limits, self.counters, self.now, serves_others=True)
        self.client = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration(auto_window_update=False))
        self.client.initiate_connection()
        self.at_server: list[Event] = []
        self.at_client: list[Any] = []
        self.pump()

    def pump(self) -> None:
        while True:
            up, down = self.client.data_to_send(), self.server.data_to_send()
            if up:
                self.server.receive(up, self.now)
            if down:
                self.client.receive_data(down)
            self.at_server += self.server.events()
            self.at_client += self.client.events()
            if not up and not down:
                return

    def later(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, max(self.now, self.server.next_wake))
            self.server.tick(self.now)
            self.pump()

    def post(self, body: bytes, *headers: tuple[bytes, bytes], ends: bool = True) -> int:
        stream = self.client.send_request([*POST, *headers])
        self.client.send_data(stream, body, end_stream=ends)
        self.pump()
        return stream

    def reset(self) -> None:
        self.client.reset_stream(self.post(b"x", ends=False))
        self.pump()

    def more(self, stream: int, data: bytes) -> None:
        self.client.send_data(stream, data)
        self.pump()

    def read_a_little(self, stream: int) -> None:
        self.client.acknowledge_received_data(8_192, stream)
        self.pump()

    def answer(self, size: int) -> None:
        self.server.send_other(of(self.at_server, OtherArrived)[-1].request, OtherAnswer(200, (), b"a" * size))
        self.pump()

    @property
    def refusals(self) -> list[int]:
        return [event.request.refusal for event in of(self.at_server, OtherArrived)]

    def seen(self, kind: type[E]) -> list[E]:
        return [event for event in self.at_client if isinstance(event, kind)]


def test_a_body_that_trickles_in_wins_no_time() -> None:
    line = Line()
    stream = line.post(b"x", ends=False)
    for _ in range(9):
        line.later(1.0)
        line.more(stream, b"x")
    before = line.refusals
    line.later(6.0)

    assert (before, line.refusals, line.counters["late"]) == ([], [408], 1)


def test_a_body_is_never_refused_early() -> None:
    line = Line()
    line.later(2.4)
    line.post(b"x", ends=False)
    line.later(9.9)

    assert line.refusals == []


def test_a_refused_body_is_held_no_more() -> None:
    line = Line()
    stream = line.post(b"x" * 5_000, ends=False)
    held = line.counters["held_bytes"]
    line.later(16.0)
    line.more(stream, b"x" * 5_000)

    assert (held, line.counters["held_bytes"], line.refusals) == (5_000, 0, [408])


def test_who_is_refused_in_mid_body_reads_the_answer_before_it_is_told_to_stop() -> None:
    line = Line()
    line.post(b"x", ends=False)
    line.later(16.0)
    line.answer(10)
    answered, stopped = len(line.seen(ngh2.DataReceived)), len(line.seen(ngh2.StreamReset))
    line.later(3.0)

    assert (answered, stopped, len(line.seen(ngh2.StreamReset))) == (1, 0, 1)


def test_a_request_that_is_whole_is_worked_on_for_as_long_as_that_takes() -> None:
    line = Line()
    line.post(b"x")
    line.later(100.0)

    assert line.refusals == [0]


@pytest.mark.parametrize(("size", "refusal"), [(1_000, 0), (1_400, 431), (5_000, 431)])
def test_headers_beyond_the_limit_are_refused(size: int, refusal: int) -> None:
    line = Line(Limits(max_metadata=1_500))
    line.post(b"x", (b"x-long", b"a" * size))

    assert line.refusals == [refusal]


def test_many_short_headers_are_as_long_as_http_2_counts_them() -> None:
    line = Line(Limits(max_metadata=1_500))
    line.post(b"x", *[(b"x-%d" % number, b"") for number in range(45)])

    assert line.refusals == [431]


def test_a_call_whose_message_trickles_in_ends() -> None:
    line = Line()
    line.post(MESSAGE[:3], GRPC, ends=False)
    line.later(16.0)

    assert [event.status for event in of(line.at_server, CallLost)] == [Status.DEADLINE_EXCEEDED]
    assert dict(line.seen(ngh2.ResponseReceived)[0].headers)[b"grpc-status"] == b"4"


def test_headers_that_trickle_in_make_no_connection_busy() -> None:
    limits = Limits(max_idle=10.0, stalled=None)
    server = ServerConnection(limits, Counters(), 0.0)
    block = request_block()
    head = frame(HEADERS, END_HEADERS, 1, block)
    server.receive(GREETING, 0.0)
    ended = 0
    for number, byte in enumerate(head[:40]):
        server.receive(bytes([byte]), float(number))
        server.tick(float(number))
        server.data_to_send()
        ended = ended or (number if server.is_ended else 0)

    assert 10 <= ended <= 17


def test_a_call_that_streams_may_take_its_time() -> None:
    line = Line()
    line.post(MESSAGE[:3], GRPC, ends=False)
    calls_of(line.at_server)[0].is_stream = True
    line.later(1_000.0)

    assert of(line.at_server, CallLost) == []


def test_a_call_that_is_whole_may_be_worked_on() -> None:
    line = Line()
    line.post(MESSAGE, GRPC)
    line.later(1_000.0)

    assert of(line.at_server, CallLost) == []


def test_an_answer_that_is_taken_drop_by_drop_is_given_up() -> None:
    line = Line()
    stream = line.post(b"x")
    line.answer(1_000_000)
    for _ in range(9):
        line.later(1.0)
        line.read_a_little(stream)
    before = line.counters["unread"]
    line.later(6.0)

    assert (before, line.counters["unread"], line.server.unsent_in_all) == (0, 1, 0)
    assert line.seen(ngh2.StreamReset)[0].error_code == ngh2.ErrorCode.CANCEL


def test_the_answer_of_a_call_is_given_up_likewise() -> None:
    line = Line()
    line.post(MESSAGE, GRPC)
    line.server.send_answer(calls_of(line.at_server)[0], b"a" * 1_000_000)
    line.later(16.0)

    assert (line.counters["unread"], line.server.unsent_in_all, line.server.is_ended) == (1, 0, False)


def test_an_answer_that_was_taken_is_not_missed() -> None:
    line = Line()
    line.post(b"x")
    line.answer(1_000)
    line.later(100.0)

    assert (line.counters["unread"], line.seen(ngh2.StreamReset)) == (0, [])


def test_of_answers_that_have_left_none_is_remembered() -> None:
    line = Line()
    for _ in range(1_000):
        line.post(b"x")
        line.answer(10)

    assert len(line.server._answered) < 100


def test_each_answer_makes_up_for_one_reset_whether_it_is_remembered_or_not() -> None:
    line = Line(Limits(resets=(20, 0.0)))
    for _ in range(100):
        line.post(b"x")
        line.answer(10)
        line.reset()

    assert line.counters["abuse.resets"] == 0


def test_what_answers_make_up_for_is_not_counted_twice() -> None:
    line = Line(Limits(resets=(10, 0.0)))
    for _ in range(5):
        line.reset()
    for _ in range(3):
        line.post(b"x")
        line.answer(10)
    for _ in range(8):
        line.reset()
    before = line.counters["abuse.resets"]
    line.reset()

    assert (before, line.counters["abuse.resets"]) == (0, 1)


def test_more_answers_than_are_remembered_make_up_for_as_many_resets() -> None:
    line = Line(Limits(resets=(150, 0.0)))
    for _ in range(140):
        line.reset()
    for _ in range(100):
        line.post(b"x")
        line.answer(10)
    for _ in range(110):
        line.reset()
    before = line.counters["abuse.resets"]
    line.reset()

    assert (before, line.counters["abuse.resets"]) == (0, 1)
