"""Peers that want to cost us something: each is left with the right error, within a bounded number of frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import ngh2
import pytest

import h2grpc
from h2grpc.counters import Counters
from h2grpc.limits import Limits
from h2grpc.server_protocol import ServerConnection
from tests.support.h2grpc_echo import EchoServicer, add_echo
from tests.support.h2grpc_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    GREETING,
    HEADERS,
    PING,
    PRIORITY,
    RST,
    SETTINGS,
    UPDATE,
    frame,
    request_block,
)

CALM, PROTOCOL, FLOW, SIZE = 0xB, 0x1, 0x3, 0x6
BLOCK = request_block()
LONG_FIELD = b"\x40\x01a\x7f\x81\x1e" + b"x" * (127 + 1 + 0x1E * 128)  # indexed, so that one byte repeats it
REPEATED = b"\xbe"


class Rig:
    """A server's end that is fed by hand."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.counters = Counters()
        self.server = ServerConnection(limits or Limits(), self.counters, 0.0)
        self.said = b""
        self.feed(GREETING)

    def feed(self, data: bytes, now: float = 0.0) -> None:
        self.server.receive(data, now)
        self.server.events()
        while data := self.server.data_to_send():
            self.said += data

    def flood(self, make: Callable[[int], bytes], most: int) -> int:
        """How many it took."""
        for count in range(most):
            self.feed(make(count), count * 1e-6)
            if self.server.is_ended:
                return count + 1
        return most

    @property
    def goodbye(self) -> int | None:
        """The error code of the GOAWAY."""
        peer = ngh2.Connection(ngh2.Role.CLIENT)
        peer.initiate_connection()
        at = 0
        while at < len(self.said):
            size = int.from_bytes(self.said[at : at + 3], "big")
            if self.said[at + 3] == 7:
                return int.from_bytes(self.said[at + 13 : at + 17], "big")
            at += 9 + size
        return None


def stream(count: int) -> int:
    return 2 * count + 1


FLOODS: dict[str, tuple[Callable[[int], bytes], int, int, str]] = {
    "rapid reset": (
        lambda n: frame(HEADERS, END_HEADERS, stream(n), BLOCK) + frame(RST, 0, stream(n), b"\0\0\0\x08"),
        1_001,
        CALM,
        "abuse.resets",
    ),
    "pings": (lambda n: frame(PING, 0, 0, b"12345678"), 101, CALM, "abuse.pings"),
    "pings in one chunk": (lambda n: frame(PING, 0, 0, b"12345678") * 3_000, 1, CALM, "abuse.flood"),
    "settings": (lambda n: frame(SETTINGS, 0, 0), 21, CALM, "abuse.settings"),
    "settings with many entries": (lambda n: frame(SETTINGS, 0, 0, bytes(6) * 1_000), 1, CALM, "abuse.flood"),
    "empty data": (
        lambda n: frame(DATA, 0, 1) if n else frame(HEADERS, END_HEADERS, 1, BLOCK),
        1_002,
        CALM,
        "abuse.empty_frames",
    ),
    "window updates": (lambda n: frame(UPDATE, 0, 0, b"\0\0\0\x01"), 10_300, CALM, "abuse.window_updates"),
    "window overflow": (lambda n: frame(UPDATE, 0, 0, b"\x7f\xff\xff\xff"), 1, FLOW, "abuse.protocol"),
    "priorities": (lambda n: frame(PRIORITY, 0, 1, b"\0\0\0\0\x01"), 15_000, CALM, "abuse.flood"),
    "unknown frames": (lambda n: frame(0xEE, 0, 0, b"x"), 15_000, CALM, "abuse.flood"),
    "continuations": (
        lambda n: frame(CONTINUATION, 0, 1) if n else frame(HEADERS, 0, 1, BLOCK),
        10,
        CALM,
        "abuse.flood",
    ),
    "a header bomb": (
        lambda n: frame(HEADERS, END_HEADERS, stream(n), BLOCK + LONG_FIELD + REPEATED * 4_000),
        1,
        CALM,
        "abuse.flood",
    ),
    "an oversized frame": (lambda n: frame(DATA, 0, 1, b"x" * 20_000), 1, SIZE, "abuse.protocol"),
    "data on no stream": (lambda n: frame(DATA, 0, 99, b"x"), 1, PROTOCOL, "abuse.protocol"),
    "a reset of no stream": (lambda n: frame(RST, 0, 99, bytes(4)), 1, PROTOCOL, "abuse.protocol"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection_with_its_error_within_bounds(name: str) -> None:
    make, most, code, counter = FLOODS[name]
    rig = Rig()
    frames = rig.flood(make, 20_000)

    assert frames <= most
    assert rig.goodbye == code
    assert rig.counters[counter] == 1


def test_what_is_no_http2_is_told_so() -> None:
    rig = Rig.__new__(Rig)
    rig.counters, rig.said = Counters(), b""
    rig.server = ServerConnection(Limits(), rig.counters, 0.0)
    rig.feed(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

    assert rig.goodbye == PROTOCOL


def test_a_busy_client_may_cancel_as_many_calls_as_it_lets_be_answered() -> None:
    rig = Rig()
    for count in range(3_000):
        rig.server.receive(frame(HEADERS, END_HEADERS | 1, stream(2 * count), BLOCK), 0.0)
        rig.server.events()
        (call,) = rig.server.calls.values()
        rig.server.send_answer(call, b"")
        lost = stream(2 * count + 1)
        rig.feed(frame(HEADERS, END_HEADERS, lost, BLOCK) + frame(RST, 0, lost, b"\0\0\0\x08"))

    assert not rig.server.is_ended


def test_pings_between_answers_are_no_abuse() -> None:
    rig = Rig()
    for count in range(500):
        rig.server.receive(frame(HEADERS, END_HEADERS | 1, stream(count), BLOCK), 0.0)
        rig.server.events()
        (call,) = rig.server.calls.values()
        rig.server.send_answer(call, b"")
        rig.feed(frame(PING, 0, 0, b"12345678"))

    assert not rig.server.is_ended


def test_keepalive_pings_at_their_interval_are_no_abuse() -> None:
    rig = Rig()
    for count in range(500):
        rig.feed(frame(PING, 0, 0, b"12345678"), count * 10.0)

    assert not rig.server.is_ended


def test_streams_over_the_limit_are_refused_one_by_one() -> None:
    rig = Rig(Limits(max_streams=10))
    rig.feed(b"".join(frame(HEADERS, END_HEADERS, stream(n), BLOCK) for n in range(30)))

    assert len(rig.server.calls) == 10
    assert rig.said.count(frame(RST, 0, stream(15), b"\0\0\0\x07")) == 1
    assert not rig.server.is_ended


def test_who_goes_on_over_the_limit_after_accepting_it_is_left() -> None:
    rig = Rig(Limits(max_streams=10))
    rig.feed(frame(SETTINGS, 1, 0))
    rig.feed(b"".join(frame(HEADERS, END_HEADERS, stream(n), BLOCK) for n in range(30)))

    assert rig.goodbye == PROTOCOL


def test_who_never_greets_is_left_after_the_handshakes_time() -> None:
    counters = Counters()
    server = ServerConnection(Limits(handshake=10.0), counters, 0.0)
    server.receive(GREETING[:20], 9.0)
    server.tick(9.9)
    early = server.is_ended
    server.tick(10.0)

    assert not early
    assert server.is_ended
    assert counters["abuse.handshake"] == 1


def test_who_never_reads_is_left_after_a_while() -> None:
    rig = Rig(Limits(stalled=60.0, keepalive=None))
    rig.feed(frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\x01"))  # a window of one byte
    rig.server.receive(frame(HEADERS, END_HEADERS | 1, 1, BLOCK), 0.0)
    rig.server.events()
    rig.server.send_answer(rig.server.calls[1], b"x" * 10_000)
    rig.feed(b"", 0.0)
    now = 0.0
    while not rig.server.is_ended and now < 1_000:
        now = rig.server.next_wake
        rig.server.tick(now)

    assert 60.0 <= now <= 80.0
    assert rig.counters["abuse.stalled"] == 1


def test_a_peer_that_drips_bytes_but_never_answers_a_ping_is_left() -> None:
    rig = Rig(Limits(keepalive=10.0, keepalive_timeout=5.0))
    rig.feed(frame(HEADERS, 0, 1, BLOCK)[:-5])
    now = 0.0
    for _ in range(40):  # the rest of the block, and then nothing that ends it, a byte every four seconds
        now += 4.0
        rig.server.receive(b"", now)
        rig.server.tick(now)
        rig.server.data_to_send()
    rig.server.tick(now + 60.0)
    rig.server.tick(now + 120.0)

    assert rig.server.is_ended


async def test_rapid_resets_start_no_more_handlers_than_calls_may_be_open() -> None:
    server, servicer = h2grpc.server(limits=Limits(max_streams=50, resets=(10_000, 1))), EchoServicer()
    add_echo(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    message = frame(DATA, 1, 0, b"\0\0\0\0\0")
    writer.write(GREETING)
    for n in range(1_000):
        data = message[:5] + stream(n).to_bytes(4, "big") + message[9:]
        reset = frame(RST, 0, stream(n), b"\0\0\0\x08")
        writer.write(frame(HEADERS, END_HEADERS, stream(n), BLOCK) + data + reset)
    writer.write(frame(PING, 0, 0, b"all done"))
    async with asyncio.timeout(10):
        await reader.readuntil(b"all done")

    assert servicer.running <= 50
    assert server.counters["cancelled"] == 1_000
    writer.close()
    await server.stop(None)
    assert servicer.running == 0


async def test_who_never_reads_does_not_keep_the_socket_after_the_connection_has_ended() -> None:
    server, servicer = h2grpc.server(limits=Limits(stalled=0.2, keepalive=None, linger=0.1)), EchoServicer()
    add_echo(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)  # whose reader stops the transport
    wide = frame(SETTINGS, 0, 0, b"\0\x04\x7f\xff\xff\xff") + frame(UPDATE, 0, 0, b"\x7f\xff\0\0")
    block = bytes([0x83, 0x86, 0x04, 12]) + b"/t.Echo/pour" + bytes([0x41, 1]) + b"x" + b"\x5f\x10application/grpc"
    message = frame(DATA, 1, 1, b"\0\0\0\0\x061000000"[:4] + b"\x07" + b"1000000")
    writer.write(GREETING + wide + frame(HEADERS, END_HEADERS, 1, block) + message)
    async with asyncio.timeout(20):
        await servicer.started.wait()
        await servicer.cancelled.wait()
        await server.emptied.wait()

    assert server.counters["abuse.stalled"] == 1
    assert not server.connections
    writer.transport.abort()
    await server.stop(None)


async def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    server = h2grpc.server(max_connections=1)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(10):
        first, first_writer = await asyncio.open_connection("127.0.0.1", port)
        await first.readexactly(9)
        second, second_writer = await asyncio.open_connection("127.0.0.1", port)

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await second.readexactly(1)
    assert server.counters["refused_connections"] == 1
    first_writer.close()
    second_writer.close()
    await server.stop(None)
