"""Messages over arbitrary borders of chunks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h2grpc.errors import BadMessage, MessageTooLarge
from h2grpc.framing import MessageReader, frame

MESSAGES = st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=8)


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    borders = [0, *sorted(min(place, len(stream)) for place in at), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(borders)]


@given(MESSAGES, st.lists(st.integers(0, 2500), max_size=40))
def test_messages_come_out_whole_wherever_the_chunks_end(messages: list[tuple[bool, bytes]], at: list[int]) -> None:
    stream = b"".join(frame(message, compressed) for compressed, message in messages)
    reader = MessageReader(300)

    assert [found for chunk in cut(stream, at) for found in reader.feed(chunk)] == messages

    reader.finish()
    assert reader.held == 0


@given(MESSAGES, st.integers(0, 2500))
def test_a_stream_that_ends_inside_a_message_is_noticed(messages: list[tuple[bool, bytes]], at: int) -> None:
    stream = b"".join(frame(message, compressed) for compressed, message in messages)
    reader = MessageReader(300)
    whole = reader.feed(stream[:at])

    assert whole == messages[: len(whole)]
    if sum(5 + len(message) for _, message in whole) == min(at, len(stream)):
        reader.finish()
    else:
        with pytest.raises(BadMessage):
            reader.finish()


@given(st.integers(0, 20))
def test_one_byte_at_a_time_is_as_good(limit: int) -> None:
    reader = MessageReader(limit)

    assert [found for byte in frame(b"x" * limit) for found in reader.feed(bytes((byte,)))] == [(False, b"x" * limit)]


def test_a_message_over_the_limit_is_refused_by_its_head_alone() -> None:
    with pytest.raises(MessageTooLarge):
        MessageReader(10).feed(b"\0\0\0\0\x0b")


def test_a_head_in_two_parts_is_held_to_the_limit_too() -> None:
    reader = MessageReader(10)
    reader.feed(b"\0\0\0")
    with pytest.raises(MessageTooLarge):
        reader.feed(b"\0\x0b")


@pytest.mark.parametrize("flag", [2, 3, 128, 255])
def test_an_unknown_flag_is_refused(flag: int) -> None:
    with pytest.raises(BadMessage):
        MessageReader(10).feed(bytes((flag, 0, 0, 0, 0)))


def test_a_message_in_many_small_chunks_is_copied_a_fixed_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = MessageReader(1 << 20)
    reader.feed(frame(b"x" * 100_000)[:5])
    looked = []

    def look(reader: MessageReader) -> list[tuple[bool, bytes]]:
        looked.append(reader.held)
        return []

    monkeypatch.setattr(MessageReader, "_take_held", look)
    for _ in range(100_000):
        reader.feed(b"x")

    assert looked == [100_005]
