"""DATA into messages: whatever the frames are, the messages and what is held for them are the same."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from h2grpc.call import Call
from h2grpc.compression import compress
from h2grpc.events import CallLost, HalfClosed, Message
from h2grpc.framing import frame
from h2grpc.incoming import SMALL as COUNTED
from h2grpc.limits import Limits
from tests.support.h2grpc_wire import Wire, of

LIMIT = 8_000
SMALL = Limits(max_receive_message=LIMIT, max_unread=12_000, stream_window=65_535, connection_window=1 << 20)

MESSAGES = st.lists(st.tuples(st.integers(0, LIMIT), st.booleans()), min_size=1, max_size=12)
CUTS = st.lists(st.integers(1, 3 * LIMIT), max_size=20)


def bytes_of(messages: list[tuple[int, bool]]) -> tuple[list[bytes], bytes]:
    """What they are, and what they are on the stream."""
    plain = [bytes([1 + number]) * size for number, (size, _) in enumerate(messages)]
    framed = [
        frame(compress("gzip", data), compressed=True) if is_compressed else frame(data)
        for data, (_, is_compressed) in zip(plain, messages, strict=True)
    ]
    return plain, b"".join(framed)


def borders(messages: list[tuple[int, bool]]) -> list[int]:
    """Lengths of frames that hold a message each."""
    return [len(bytes_of([message])[1]) for message in messages]


def send_each(wire: Wire, call: Call, *pieces: bytes) -> None:
    """A frame each."""
    for piece in pieces:
        wire.client._engine.send_data(call.stream_id, piece)
        wire.pump()


@given(messages=MESSAGES, cuts=CUTS, are_whole=st.booleans(), is_read=st.booleans())
@example(messages=[(0, False), (LIMIT, False)], cuts=[], are_whole=True, is_read=True)
@example(messages=[(0, True), (5, False), (LIMIT, True)], cuts=[], are_whole=True, is_read=False)
def test_messages_are_the_same_in_whatever_frames_they_come(
    messages: list[tuple[int, bool]], cuts: list[int], are_whole: bool, is_read: bool
) -> None:
    plain, stream = bytes_of(messages)
    wire = Wire(SMALL)
    call = wire.client.start(b"/a/b", wire.now, compression="gzip")
    wire.pump()
    before = wire.server.receive_window
    received: list[bytes] = []
    held: list[Message] = []

    def look() -> None:
        for message in of(wire.at_server, Message):
            received.append(message.data)
            if is_read:
                wire.server.consumed(message.call, len(message.data))
            else:
                held.append(message)
        wire.at_server.clear()
        of_server = wire.server.calls[call.stream_id]
        assert of_server.charged == of_server.holds or (not of_server.charged and of_server.holds <= COUNTED)
        if held:
            assert of_server.unread == sum(len(message.data) for message in held)

    for size in [*(borders(messages) if are_whole else cuts), len(stream) or 1]:
        piece, stream = stream[:size], stream[size:]
        if piece:
            wire.client._engine.send_data(call.stream_id, piece)
            wire.pump()
            look()
    while held:
        message = held.pop(0)
        wire.server.consumed(message.call, len(message.data))
        wire.pump()
        look()

    assert received == plain
    of_server = wire.server.calls[call.stream_id]
    assert (of_server.charged, of_server.unacknowledged, of_server.unread, of_server.holds) == (0, 0, 0, 0)
    assert wire.counters["held_bytes"] == 0
    assert wire.server.receive_window >= before - SMALL.stream_window


def test_a_small_message_counts_among_those_of_a_call_that_is_counted() -> None:
    wire = Wire(SMALL)
    call = wire.client.start(b"/a/b", wire.now)
    send_each(wire, call, frame(bytes(3_000)), frame(bytes(2_000)))
    wire.server.consumed(wire.server.calls[call.stream_id], 3_000)
    send_each(wire, call, frame(bytes(100)))

    assert (wire.server.calls[call.stream_id].unread, wire.counters["held_bytes"]) == (2_100, 2_100)


def test_a_small_message_that_is_the_last_ends_what_the_caller_sends() -> None:
    wire = Wire(SMALL)
    call = wire.client.start(b"/a/b", wire.now)
    send_each(wire, call, frame(b"first"))
    wire.client._engine.send_data(call.stream_id, frame(b"last"), end_stream=True)
    wire.pump()

    assert [message.data for message in of(wire.at_server, Message)] == [b"first", b"last"]
    assert len(of(wire.at_server, HalfClosed)) == 1


def test_what_looks_like_a_message_inside_of_another_is_none() -> None:
    wire = Wire(SMALL)
    call = wire.client.start(b"/a/b", wire.now)
    outer = b"outer" + frame(b"inner")
    send_each(wire, call, frame(b"first"), frame(outer)[:10], frame(b"inner"))

    assert [message.data for message in of(wire.at_server, Message)] == [b"first", outer]


@given(extra=st.integers(1, 8_000))
def test_a_message_over_the_limit_fails_its_call_also_where_it_comes_in_one_frame(extra: int) -> None:
    wire = Wire(SMALL)
    call = wire.client.start(b"/a/b", wire.now)
    send_each(wire, call, frame(b"first"), frame(bytes(LIMIT + extra)))

    assert len(of(wire.at_server, CallLost)) == 1
    assert [message.data for message in of(wire.at_server, Message)] == [b"first"]


@given(size=st.integers(0, 100), flag=st.integers(2, 255))
def test_a_flag_that_is_none_fails_the_call(size: int, flag: int) -> None:
    wire = Wire(SMALL)
    call = wire.client.start(b"/a/b", wire.now)
    send_each(wire, call, frame(b"first"), bytes([flag]) + frame(bytes(size))[1:])

    assert len(of(wire.at_server, CallLost)) == 1
    assert [message.data for message in of(wire.at_server, Message)] == [b"first"]
