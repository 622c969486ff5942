"""What one call may make both ends hold."""

from __future__ import annotations

from h2grpc.counters import Counters
from h2grpc.events import CallLost, Message
from h2grpc.limits import Limits
from h2grpc.server_protocol import ServerConnection
from h2grpc.status import Status
from tests.support.h2grpc_frames import (
    END_HEADERS,
    END_STREAM,
    GREETING,
    HEADERS,
    SETTINGS,
    UPDATE,
    frame,
    request_block,
)
from tests.support.h2grpc_wire import Wire, calls_of, of


def test_unread_messages_stop_at_the_limit_and_one_window() -> None:
    wire = Wire(Limits(max_unread=50_000, stream_window=65_535))
    wire.begin(*[b"x" * 10_000] * 100, ends=False)
    held = sum(len(event.data) for event in of(wire.at_server, Message))

    assert 50_000 <= held <= 50_000 + 2 * 65_535
    assert wire.client.unsent_in_all > 0


def test_reading_opens_the_window_again_until_everything_is_there() -> None:
    wire = Wire(Limits(max_unread=50_000, stream_window=65_535))
    wire.begin(*[b"x" * 10_000] * 100, ends=False)
    read = 0
    while messages := of(wire.at_server, Message):
        wire.at_server.clear()
        for event in messages:
            read += len(event.data)
            wire.server.consumed(event.call, len(event.data))
        wire.pump()

    assert read == 1_000_000
    assert wire.counters["held_bytes"] == 0


def test_a_call_that_nobody_reads_leaves_the_others_their_windows() -> None:
    wire = Wire(Limits(max_unread=0, stream_window=65_535))
    for _ in range(20):
        wire.begin(*[b"x" * 10_000] * 20, ends=False)
    wire.at_server.clear()
    wire.begin(b"small")

    assert [call.message for call in calls_of(wire.at_server)] == [b"small"]


def test_updates_and_pings_that_answer_one_long_message_are_no_flood() -> None:
    """A client that looks for the delay of its line pings while data comes, as grpcio and grpc-go do."""
    limits = Limits(window_updates=(20, 1), pings=(2, 1))
    wire = Wire(limits, client_limits=Limits(stream_window=65_535, connection_window=65_535))
    _, call = wire.begin(b"x")
    wire.server.send_answer(call, b"y" * 4_000_000)
    while data := wire.server.data_to_send():
        wire.client.receive(data, wire.now)
        if len(data) > 10_000:
            wire.client.ping()
        wire.server.receive(wire.client.data_to_send(), wire.now)

    assert wire.counters["abuse.window_updates"] == wire.counters["abuse.pings"] == 0
    assert [len(event.data) for event in of(wire.client.events(), Message)] == [4_000_000]


def test_a_window_that_opens_by_a_byte_at_a_time_is_a_flood() -> None:
    counters = Counters()
    server = ServerConnection(Limits(window_updates=(20, 1)), counters, 0.0)
    opens_by_nothing = frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + bytes(4))
    server.receive(GREETING + opens_by_nothing + frame(HEADERS, END_HEADERS | END_STREAM, 1, request_block()), 0.0)
    (call,) = server.calls.values()
    server.send_answer(call, b"y" * 1_000)
    sent: list[bytes] = []
    while not server.is_ended and len(sent) < 1_000:
        server.receive(frame(UPDATE, 0, 1, b"\0\0\0\x01"), 0.0)
        sent.append(server.data_to_send())

    assert counters["abuse.window_updates"] == 1
    assert 20 <= len(sent) <= 23


def test_a_message_longer_than_the_window_is_taken_in_whole() -> None:
    wire = Wire(Limits(stream_window=65_535, max_receive_message=3_000_000))
    wire.begin(b"x" * 3_000_000)

    assert [len(event.data) for event in of(wire.at_server, Message)] == [3_000_000]


def test_a_message_beyond_the_limit_is_refused_by_its_first_bytes() -> None:
    wire = Wire(Limits(max_receive_message=1_000_000))
    wire.begin(b"x" * 1_000_001)

    assert wire.outcome.status is Status.RESOURCE_EXHAUSTED
    assert wire.counters["held_bytes"] == 0
    assert [event.status for event in of(wire.at_server, CallLost)] == [Status.RESOURCE_EXHAUSTED]


def test_the_limit_for_all_fails_the_call_that_exceeds_it_and_gives_its_bytes_back() -> None:
    wire = Wire(Limits(max_held=300_000))
    wire.begin(b"x" * 200_000, ends=False)
    wire.begin(b"y" * 200_000, ends=False)

    assert wire.outcome.status is Status.RESOURCE_EXHAUSTED
    assert wire.counters["held_bytes"] == 200_000


def test_a_bomb_of_gzip_stops_at_the_limit() -> None:
    wire = Wire(Limits(max_receive_message=100_000))
    wire.begin(b"\0" * 10_000_000, compression="gzip")

    assert wire.outcome.status is Status.RESOURCE_EXHAUSTED


def test_cancelled_calls_leave_the_connections_window_as_it_was() -> None:
    wire = Wire(Limits(max_unread=0, stream_window=65_535, connection_window=200_000))
    for _ in range(30):  # ten windows of the connection, if none were given back
        call, _ = wire.begin(*[b"x" * 10_000] * 10, ends=False)
        wire.client.cancel(call)
        wire.pump()
    wire.at_server.clear()
    wire.begin(b"x" * 50_000)

    assert [len(event.data) for event in of(wire.at_server, Message)] == [50_000]


def test_a_slow_reader_is_not_written_for_beyond_the_limit() -> None:
    wire = Wire(Limits(max_unsent=65_536), client_limits=Limits(stream_window=65_535, max_unread=0))
    _, call = wire.begin(b"x")
    wire.server.send_headers(call)
    written = 0
    while wire.server.may_write(call):
        wire.server.send_message(call, b"y" * 10_000)
        written += 10_000
        wire.pump()

    assert written <= 65_535 * 2 + 65_536 + 20_000


def test_many_slow_readers_are_bounded_together() -> None:
    limits = Limits(max_unsent=65_536, max_unsent_in_all=200_000)
    wire = Wire(limits, client_limits=Limits(stream_window=65_535, max_unread=0))
    calls = [wire.begin(b"x")[1] for _ in range(50)]
    for call in calls:
        wire.server.send_headers(call)
        while wire.server.may_write(call):
            wire.server.send_message(call, b"y" * 10_000)
            wire.pump()

    assert wire.server.unsent_in_all <= 200_000 + 20_000


def test_output_comes_in_chunks_that_a_transport_can_refuse() -> None:
    limits = Limits(connection_window=64 << 20, stream_window=32 << 20)
    wire = Wire(Limits(write_chunk=100_000), client_limits=limits)
    _, call = wire.begin(b"x")
    wire.server.send_answer(call, b"y" * 1_000_000)

    assert len(wire.server.data_to_send()) <= 100_000
