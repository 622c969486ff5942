"""How replies leave a Score stream: at once where the engine can, else through its handler; from another thread too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from google.protobuf.message import EncodeError

from workers.stream import Stream
from workers.wire.v1 import worker_pb2 as wire


class Loop:
    """Keeps what another thread asks of it until it is run."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []
        self.is_closed = False

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        if self.is_closed:
            raise RuntimeError("Event loop is closed")
        self.asked.append(callback)

    def run(self) -> None:
        asked, self.asked = self.asked, []
        for callback in asked:
            callback()


class Engine:
    """What left at once; ``takes`` says for each message whether it can."""

    def __init__(self, *takes: bool) -> None:
        self.sent: list[int] = []
        self._takes = list(takes)

    def write_nowait(self, reply: wire.Reply) -> bool:
        if self._takes and not self._takes.pop(0):
            return False
        self.sent.append(reply.id)
        return True


def stream_of(engine: Engine, loop: Loop) -> Stream:
    return Stream(cast(Any, loop), engine.write_nowait)


def test_replies_that_are_finished_while_the_loop_is_busy_come_back_with_one_call() -> None:
    loop, engine = Loop(), Engine()
    stream = stream_of(engine, loop)
    for number in (1, 2, 3):
        stream.post(wire.Reply(id=number))
    asked = len(loop.asked)
    loop.run()
    stream.post(wire.Reply(id=4))
    loop.run()

    assert asked == 1
    assert engine.sent == [1, 2, 3, 4]


def test_a_reply_that_is_posted_while_others_are_taken_is_sent_too() -> None:
    loop = Loop()
    sent: list[int] = []

    def write_nowait(reply: wire.Reply) -> bool:
        sent.append(reply.id)
        if reply.id < 5:
            stream.post(wire.Reply(id=reply.id + 1))
        return True

    stream = Stream(cast(Any, loop), write_nowait)
    stream.post(wire.Reply(id=1))
    while loop.asked:
        loop.run()

    assert sent == [1, 2, 3, 4, 5]


def test_posting_after_the_loop_has_gone_is_no_error() -> None:
    loop = Loop()
    stream = stream_of(Engine(), loop)
    loop.is_closed = True
    stream.post(wire.Reply(id=1))
    stream.post(wire.Reply(id=2))

    assert loop.asked == []


async def test_of_many_replies_posted_by_a_thread_none_is_lost_and_all_keep_their_order() -> None:
    sent: list[int] = []
    all_sent = asyncio.Event()

    def write_nowait(reply: wire.Reply) -> bool:
        sent.append(reply.id)
        if len(sent) == 5_000:
            all_sent.set()
        return True

    stream = Stream(asyncio.get_running_loop(), write_nowait)

    def post_all() -> None:
        for number in range(5_000):
            stream.post(wire.Reply(id=number))

    thread = threading.Thread(target=post_all)
    thread.start()
    async with asyncio.timeout(20):
        await all_sent.wait()
    thread.join()

    assert sent == list(range(5_000))


async def test_a_reply_that_cannot_leave_at_once_holds_up_those_after_it_until_the_handler_took_it() -> None:
    engine = Engine(True, False)
    stream = stream_of(engine, Loop())
    for number in (1, 2, 3):
        stream.send(wire.Reply(id=number))
    taken = [await stream.next(), await stream.next()]
    stream.send(wire.Reply(id=4))

    assert engine.sent == [1, 4]
    assert [reply.id for reply in taken if reply] == [2, 3]


async def test_a_stream_that_is_finished_ends_with_its_last_reply_also_when_that_left_at_once() -> None:
    engine = Engine()
    stream = Stream(asyncio.get_running_loop(), engine.write_nowait)
    stream.unanswered = 1
    stream.finish()
    ending = asyncio.create_task(stream.next())
    await asyncio.sleep(0)
    is_early = ending.done()
    stream.post(wire.Reply(id=1))
    async with asyncio.timeout(20):
        last = await ending

    assert (is_early, last, engine.sent) == (False, None, [1])


async def test_a_reply_that_cannot_be_encoded_is_the_handlers_to_fail_of() -> None:
    def write_nowait(_reply: wire.Reply) -> bool:
        raise EncodeError("too long")

    stream = Stream(cast(Any, Loop()), write_nowait)
    stream.send(wire.Reply(id=1))
    reply = await stream.next()

    assert reply is not None
    assert reply.id == 1


@pytest.mark.parametrize("can", [True, False])
async def test_replies_come_in_order_with_and_without_the_shortcut(can: bool) -> None:
    left: list[int] = []

    def write_nowait(reply: wire.Reply) -> bool:
        if can:
            left.append(reply.id)
        return can

    stream = Stream(asyncio.get_running_loop(), write_nowait)
    for number in range(10):
        stream.send(wire.Reply(id=number))
    stream.finish()
    while (reply := await stream.next()) is not None:
        left.append(reply.id)

    assert left == list(range(10))
