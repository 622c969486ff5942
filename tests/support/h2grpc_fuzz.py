"""
Bytes from nowhere for a server's end: whole frames that are nearly right, cut, repeated and bent.

``run`` feeds them as a server would get them, answers some calls, and lets time pass. What must hold
is asserted on the way. ``python -m tests.support.h2grpc_fuzz SECONDS`` goes on for as long as it is told.
"""

from __future__ import annotations

import random
import sys
import time

from h2grpc.call import Call
from h2grpc.call_state import State
from h2grpc.counters import Counters
from h2grpc.events import CallLost, ConnectionEnded, HalfClosed, Message, OtherArrived
from h2grpc.limits import Limits
from h2grpc.other import OtherAnswer
from h2grpc.server_call import ServerCall
from h2grpc.server_protocol import ServerConnection
from h2grpc.status import Status
from tests.support.h2grpc_frames import END_HEADERS, GREETING, HEADERS, frame, request_block

__all__ = ["conversation", "run"]

LIMITS = Limits(max_receive_message=100_000, max_streams=20, max_unread=1_000, max_held=200_000, stream_window=65_535)
BLOCK = request_block()
STREAMS = (0, 1, 1, 3, 5, 7, 9, 2, 0x7FFFFFFF)


def conversation(chance: random.Random) -> bytes:
    """Some frames after a greeting; most of them make sense where they stand."""
    parts = [GREETING]
    next_stream = 1
    for _ in range(chance.randrange(1, 30)):
        kind = chance.choice(("call", "call", "data", "data", "data", "any", "reset", "settings", "window"))
        stream = chance.choice(STREAMS)
        if kind == "call":
            parts.append(frame(HEADERS, END_HEADERS | chance.choice((0, 0, 1)), next_stream, BLOCK))
            next_stream += 2
        elif kind == "data":
            size = chance.choice((0, 1, 100, 5_000, 90_000, 2**31))
            message = bytes([chance.choice((0, 0, 0, 1, 7))]) + size.to_bytes(4, "big") + bytes(min(size, 3_000))
            message = message[: chance.choice((1, 4, 5, 105, 16_000))]
            parts.append(frame(0, chance.choice((0, 1)), chance.choice((1, max(1, next_stream - 2))), message))
        elif kind == "reset":
            parts.append(frame(3, 0, stream, chance.randbytes(4)))
        elif kind == "settings":
            entry = chance.randrange(1, 7).to_bytes(2, "big") + chance.randbytes(4)
            parts.append(frame(4, 0, 0, entry * chance.randrange(3)))
        elif kind == "window":
            parts.append(frame(8, 0, stream, chance.choice((b"\0\0\0\0", b"\0\0\x10\0", b"\x7f\xff\xff\xff"))))
        else:
            size = chance.randrange(40)
            parts.append(frame(chance.randrange(12), chance.randrange(256), stream, chance.randbytes(size)))
    data = bytearray(b"".join(parts))
    for _ in range(chance.choice((0, 0, 1, 3, 20))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def run(data: bytes, chance: random.Random) -> None:
    counters = Counters()
    server = ServerConnection(LIMITS, counters, 0.0, serves_others=chance.random() < 0.5)
    seen: set[Call] = set()
    gone: set[Call] = set()
    unread: dict[Call, int] = {}
    now = 0.0
    at = 0
    while at < len(data):
        size = chance.choice((1, 9, 50, 1_000, 100_000))
        server.receive(data[at : at + size], now)
        at += size
        _check(server, seen, gone, unread)
        _act(server, chance, unread)
        for _ in range(chance.randrange(3)):
            server.data_to_send()
        now += chance.choice((0.0, 0.001, 3.0))
        server.tick(now)
        _check(server, seen, gone, unread)
    server.lost()
    _check(server, seen, gone, unread)

    assert server.calls == {}
    assert counters["held_bytes"] == 0
    assert len(server.deadlines) == 0


def _check(server: ServerConnection, seen: set[Call], gone: set[Call], unread: dict[Call, int]) -> None:
    """Events come in an order that makes sense, and nothing is held beyond its limit."""
    for event in server.events():
        if isinstance(event, ServerCall):
            assert event not in seen
            seen.add(event)
            if event.message is not None:
                assert len(event.message) <= LIMITS.max_receive_message
        elif isinstance(event, Message | HalfClosed | CallLost):
            assert event.call in seen
            assert event.call not in gone
            if isinstance(event, CallLost):
                gone.add(event.call)
            elif isinstance(event, Message):
                assert len(event.data) <= LIMITS.max_receive_message
                unread[event.call] = unread.get(event.call, 0) + len(event.data)
        elif isinstance(event, OtherArrived):
            server.send_other(event.request, OtherAnswer(200, (), b"x"))
        elif isinstance(event, ConnectionEnded):
            assert server.is_ended
    assert len(server.calls) <= LIMITS.max_streams
    assert server.counters["held_bytes"] <= LIMITS.max_held


def _act(server: ServerConnection, chance: random.Random, unread: dict[Call, int]) -> None:
    """Handlers read, answer, fail and stream, as they like."""
    for call in list(server.calls.values()):
        deed = chance.randrange(6)
        if deed == 0 and call.sending is State.IDLE:
            server.send_answer(call, b"y" * chance.choice((0, 10, 100_000)))
        elif deed == 1:
            server.send_status(call, Status.ABORTED, "no")
        elif deed == 2 and call.sending is State.IDLE:
            server.send_headers(call)
        elif deed == 3 and call.sending is State.OPEN and server.may_write(call):
            server.send_message(call, b"z" * 10_000)
        elif deed == 4 and (size := unread.pop(call, 0)):
            server.consumed(call, size)


def main(seconds: float) -> int:
    end = time.monotonic() + seconds
    seed = random.SystemRandom().randrange(2**32)
    rounds = 0
    while time.monotonic() < end:
        chance = random.Random(seed + rounds)
        data = conversation(chance)
        try:
            run(data, chance)
        except BaseException:
            sys.stderr.write(f"seed {seed + rounds}: {data.hex()}\n")
            raise
        rounds += 1
    sys.stdout.write(f"{rounds} conversations from seed {seed}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
