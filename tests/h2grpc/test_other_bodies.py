"""What the bodies of requests that are no gRPC may cost: they count against the limit that calls count against."""

from __future__ import annotations

import pytest

import h2grpc
from h2grpc.events import OtherArrived, OtherLost
from h2grpc.limits import Limits
from h2grpc.server_protocol import ServerConnection
from tests.support.h2grpc_frames import DATA, END_HEADERS, GREETING, HEADERS, RST, frame
from tests.support.h2grpc_wire import of

POST = bytes([0x83, 0x84, 0x86, 0x41, 1]) + b"x"


def begun(*streams: int, max_held: int = 10_000) -> tuple[ServerConnection, h2grpc.Counters]:
    """A connection with requests whose bodies are still to come."""
    counters = h2grpc.Counters()
    server = ServerConnection(Limits(max_held=max_held), counters, 0.0, serves_others=True)
    server.receive(GREETING + b"".join(frame(HEADERS, END_HEADERS, stream, POST) for stream in streams), 0.0)
    return server, counters


def data(stream: int, size: int, *, ends: bool = False) -> bytes:
    return frame(DATA, int(ends), stream, b"x" * size)


def test_an_unfinished_body_is_counted() -> None:
    server, counters = begun(1, 3)
    server.receive(data(1, 4000) + data(3, 5000), 0.0)

    assert counters["held_bytes"] == 9000


def test_a_body_that_is_whole_is_its_handler_s() -> None:
    server, counters = begun(1)
    server.receive(data(1, 4000) + data(1, 100, ends=True), 0.0)

    assert counters["held_bytes"] == 0
    assert [len(event.request.body) for event in of(server.events(), OtherArrived)] == [4100]


def test_the_body_that_goes_beyond_what_all_may_hold_is_dropped() -> None:
    server, counters = begun(1, 3)
    server.receive(data(1, 6000) + data(3, 5000), 0.0)

    assert counters["held_bytes"] == 6000


@pytest.mark.parametrize("end", [frame(RST, 0, 1, b"\0\0\0\x08"), None])
def test_a_body_that_is_never_finished_is_let_go(end: bytes | None) -> None:
    server, counters = begun(1)
    server.receive(data(1, 6000), 0.0)
    if end is None:
        server.lost()
    else:
        server.receive(end, 0.0)

    assert counters["held_bytes"] == 0
    assert len(of(server.events(), OtherLost)) == 1
