"""The two ends of a connection, joined in memory."""

from __future__ import annotations

from collections.abc import Iterable

import ngh2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2grpc.call_state import CallStateError
from h2grpc.events import CallHeaders, CallLost, ConnectionEnded, GoingAway, HalfClosed, Message
from h2grpc.limits import Limits
from h2grpc.server_protocol import ServerConnection
from h2grpc.status import Status
from tests.support.h2grpc_wire import Wire, calls_of, of


def test_a_request_that_comes_whole_is_told_as_one_event() -> None:
    wire = Wire()
    wire.begin(b"hello")

    assert [call.message for call in calls_of(wire.at_server)] == [b"hello"]
    assert of(wire.at_server, Message) + of(wire.at_server, HalfClosed) == []


def test_a_message_after_its_call_was_told_is_an_event_of_its_own_and_may_be_the_last() -> None:
    wire = Wire()
    call, told = wire.begin(ends=False)
    wire.client.send_message(call, b"hello")
    wire.client.end(call)
    wire.pump()

    assert told.message is None
    assert [(event.call, event.data, event.is_last) for event in of(wire.at_server, Message)] == [
        (told, b"hello", True)
    ]


def test_calls_that_begin_before_the_first_has_sent_its_message_are_told_whole_as_well() -> None:
    wire = Wire()
    calls = [wire.client.start(b"/t.Echo/echo", wire.now) for _ in range(3)]
    for call, message in zip(calls, (b"a", b"b", b"c"), strict=True):
        wire.client.send_message(call, message)
        wire.client.end(call)
    wire.pump()

    assert [call.message for call in calls_of(wire.at_server)] == [b"a", b"b", b"c"]


def test_an_answer_is_headers_a_message_and_a_status() -> None:
    wire = Wire()
    _, call = wire.begin(b"hello")
    wire.server.send_answer(call, b"world")
    wire.pump()

    assert len(of(wire.at_client, CallHeaders)) == 1
    assert [event.data for event in of(wire.at_client, Message)] == [b"world"]
    assert wire.outcome.status is Status.OK


def test_an_error_without_an_answer_is_one_block_of_headers() -> None:
    wire = Wire()
    _, call = wire.begin(b"hello")
    wire.server.send_status(call, Status.NOT_FOUND, "no such thing: ü %")
    wire.pump()

    assert of(wire.at_client, CallHeaders) == []
    assert (wire.outcome.status, wire.outcome.details) == (Status.NOT_FOUND, "no such thing: ü %")


def test_an_answer_before_the_end_of_the_request_tells_the_caller_to_stop() -> None:
    wire = Wire()
    _, call = wire.begin(b"x" * 1_000_000, ends=False)
    wire.server.send_status(call, Status.OUT_OF_RANGE, "enough")
    wire.pump()

    assert wire.outcome.status is Status.OUT_OF_RANGE
    assert not wire.server.is_busy
    assert wire.client.unsent_in_all == 0


def test_an_early_answer_that_waits_for_the_window_arrives_whole_before_the_reset() -> None:
    wire = Wire(client_limits=Limits(stream_window=65_535))
    _, call = wire.begin(ends=False)
    wire.server.send_headers(call)
    wire.server.send_message(call, b"y" * 200_000)
    wire.server.send_status(call, Status.OK)
    wire.pump()
    for event in of(wire.at_client, Message):
        wire.client.consumed(event.call, len(event.data))
    wire.pump()

    assert [len(event.data) for event in of(wire.at_client, Message)] == [200_000]
    assert wire.outcome.status is Status.OK


def test_nothing_may_be_sent_after_the_status() -> None:
    wire = Wire()
    _, call = wire.begin(b"hello")
    wire.server.send_status(call, Status.OK)

    with pytest.raises(CallStateError, match="MESSAGE in DONE"):
        wire.server.send_message(call, b"late")


def test_a_cancelled_call_is_lost_at_the_server() -> None:
    wire = Wire()
    call, _ = wire.begin(b"hello", ends=False)
    wire.client.cancel(call)
    wire.pump()

    assert [event.status for event in of(wire.at_server, CallLost)] == [Status.CANCELLED]
    assert wire.server.calls == {}


def test_a_deadline_ends_the_call_at_the_server_at_its_time() -> None:
    wire = Wire()
    call, _ = wire.begin(b"hello", deadline=wire.now + 3)
    wire.client.deadlines.discard(call.stream_id)  # so that the server's clock decides
    wire.later(2.9)
    before = of(wire.at_server, CallLost)
    wire.later(0.2)

    assert before == []
    assert [event.status for event in of(wire.at_server, CallLost)] == [Status.DEADLINE_EXCEEDED]
    assert wire.outcome.status is Status.DEADLINE_EXCEEDED


def test_a_lost_connection_loses_every_call() -> None:
    wire = Wire()
    wire.begin(b"a")
    wire.begin(b"b", ends=False)
    wire.server.lost()
    events = wire.server.events()

    assert [event.status for event in of(events, CallLost)] == [Status.UNAVAILABLE] * 2
    assert isinstance(events[-1], ConnectionEnded)


def test_draining_lets_calls_finish_and_then_ends_the_connection() -> None:
    wire = Wire()
    _, call = wire.begin(b"a")
    wire.server.drain(wire.now)
    wire.pump()
    can_start, was_ended = wire.client.can_start, wire.server.is_ended
    wire.server.send_answer(call, b"b")
    wire.pump()

    assert (can_start, was_ended) == (False, False)
    assert of(wire.at_client, GoingAway)
    assert wire.outcome.status is Status.OK
    assert wire.server.is_ended


def test_a_drain_with_a_grace_ends_what_goes_on_for_longer() -> None:
    wire = Wire()
    wire.begin(b"a")
    wire.server.drain(wire.now, grace=5.0)
    wire.later(5.1)

    assert wire.server.is_ended
    assert wire.outcome.status is Status.UNAVAILABLE


def test_an_old_connection_is_asked_to_leave_however_busy() -> None:
    wire = Wire(Limits(max_age=10.0))
    wire.begin(b"a")
    wire.later(10.1)

    assert of(wire.at_client, GoingAway)
    assert not wire.server.is_ended


def test_an_idle_connection_leaves_and_a_busy_one_stays() -> None:
    wire = Wire(Limits(max_idle=10.0))
    _, call = wire.begin(b"a")
    wire.later(30.0)
    while_busy = wire.server.is_ended
    wire.server.send_answer(call, b"b")
    wire.pump()
    wire.later(16.0)

    assert not while_busy
    assert wire.server.is_ended


def test_a_connection_whose_calls_are_short_is_not_idle() -> None:
    """They come and go between the looks that are taken at it."""
    wire = Wire(Limits(max_idle=10.0))
    for _ in range(20):
        _, call = wire.begin(b"a")
        wire.server.send_answer(call, b"b")
        wire.pump()
        wire.later(3.0)
    in_use = bool(of(wire.at_client, GoingAway))
    wire.later(21.0)

    assert not in_use
    assert wire.server.is_ended


def test_a_silent_peer_is_asked_and_then_left() -> None:
    wire = Wire(Limits(keepalive=10.0, keepalive_timeout=5.0))
    wire.begin(b"a")
    while wire.now < 200.0 and not wire.server.is_ended:  # nothing that the server says arrives
        wire.now = wire.server.next_wake
        wire.server.tick(wire.now)
        wire.server.data_to_send()

    assert 114.9 < wire.now < 121.0
    assert of(wire.server.events(), CallLost)


def test_a_peer_that_answers_pings_is_kept() -> None:
    wire = Wire(Limits(keepalive=10.0, keepalive_timeout=5.0))
    wire.later(300.0)

    assert not wire.server.is_ended


@pytest.mark.parametrize(
    ("content_type", "status"), [(b"text/plain", b"415"), (b"application/grpc-web+proto", b"415"), (b"", b"415")]
)
def test_what_is_no_grpc_is_refused_with_415(content_type: bytes, status: bytes) -> None:
    assert _ask([(b":method", b"POST"), (b"content-type", content_type)]) == status


def test_a_get_with_the_content_type_of_grpc_is_refused_with_405() -> None:
    assert _ask([(b":method", b"GET"), (b"content-type", b"application/grpc")]) == b"405"


@pytest.mark.parametrize("content_type", [b"application/grpc", b"application/grpc+proto", b"application/grpc;x=y"])
def test_all_spellings_of_grpc_are_calls(content_type: bytes) -> None:
    wire = Wire(greet=False)
    _send(wire, [(b":method", b"POST"), (b"content-type", content_type)])

    assert len(calls_of(wire.server.events())) == 1


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [(b"grpc-timeout", b"soon", b"13"), (b"grpc-encoding", b"snappy", b"12")],
)
def test_headers_that_make_no_sense_fail_the_call_with_a_status(name: bytes, value: bytes, status: bytes) -> None:
    answer = _headers([(b":method", b"POST"), (b"content-type", b"application/grpc"), (name, value)])

    assert answer[b"grpc-status"] == status
    assert answer[b":status"] == b"200"


def _send(wire: Wire, headers: list[tuple[bytes, bytes]]) -> ngh2.Connection:
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    fields = [*headers[:1], (b":scheme", b"http"), (b":path", b"/t.Echo/echo"), (b":authority", b"x"), *headers[1:]]
    client.send_request(fields, end_stream=True)
    wire.server.receive(client.data_to_send(), wire.now)
    return client


def _headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    wire = Wire(greet=False)
    client = _send(wire, headers)
    client.receive_data(wire.server.data_to_send())
    return next(dict(event.headers) for event in client.events() if isinstance(event, ngh2.ResponseReceived))


def _ask(headers: list[tuple[bytes, bytes]]) -> bytes:
    return _headers(headers)[b":status"]


def _cutter(sizes: list[int]) -> object:
    def cut(data: bytes) -> Iterable[bytes]:
        at = turn = 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            yield data[at : at + size]
            at, turn = at + size, turn + 1

    return cut


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=8),
    messages=st.lists(st.binary(max_size=2_000), max_size=6),
    compression=st.sampled_from([None, "gzip", "deflate"]),
)
def test_chunk_borders_change_nothing(sizes: list[int], messages: list[bytes], compression: str | None) -> None:
    wire = Wire(cut=_cutter(sizes))  # type: ignore[arg-type]
    _, call = wire.begin(*messages, compression=compression)
    received = [event.data for event in of(wire.at_server, Message)] if call.message is None else [call.message]
    wire.server.send_headers(call)
    for message in messages:
        wire.server.send_message(call, message)
    wire.server.send_status(call, Status.OK)
    wire.pump()

    assert received == messages
    assert [event.data for event in of(wire.at_client, Message)] == messages
    assert wire.outcome.status is Status.OK


def _is_so(server: ServerConnection, until: float) -> bool:
    return not server.wants_flush and server.next_wake >= until


def test_a_connection_is_quiet_when_there_is_nothing_to_send_and_nothing_to_wait_for() -> None:
    wire = Wire(greet=False)
    said: list[tuple[bool, bool]] = []

    def ask() -> None:
        untils = (wire.now, wire.server.next_wake, wire.server.next_wake + 1, wire.now + 1e9)
        said.extend((wire.server.is_quiet(until), _is_so(wire.server, until)) for until in untils)

    ask()  # its SETTINGS wait to be sent
    wire.pump()
    ask()
    wire.server.tick(wire.now)  # it looks around now and then
    wire.begin(b"a", deadline=wire.now + 2)
    ask()
    _, at_server = wire.begin(b"b", ends=False)
    wire.server.send_status(at_server, Status.OK)
    ask()
    wire.server.data_to_send()
    ask()  # the caller is to be told to stop
    wire.pump()
    ask()
    wire.server.close(0, "enough")
    ask()

    wire = Wire(greet=False)
    wire.server.receive(b"GET / HTTP/1.1\r\n\r\n" * 2, wire.now)  # after which the engine is of no use
    ask()

    assert [quiet for quiet, _ in said] == [is_so for _, is_so in said]
    assert {quiet for quiet, _ in said} == {True, False}
    assert wire.server.is_ended
