"""The two sides of the floor's stream, joined without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from loadtests.bench.floor_link import Link
from loadtests.bench.floor_worker import Worker


class End(asyncio.Transport):
    """Hands what is written to the other side in the next turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, other: Callable[[bytes], None]) -> None:
        super().__init__()
        self._loop, self._other = loop, other

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._loop.call_soon(self._other, bytes(data))


class Doubling:
    """A model that tells how many rows it was given each time."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x")]

    def run(self, names: None, given: dict[str, Any]) -> list[Any]:
        self.rows.append(len(given["x"]))
        return [given["x"] * np.float32(2)]


def joined(model: Doubling) -> Link:
    loop = asyncio.get_running_loop()
    link, worker = Link(loop), Worker(model)
    link.connection_made(End(loop, worker.data_received))
    worker.connection_made(End(loop, link.data_received))
    return link


def row(value: float) -> bytes:
    return np.full(10, value, "<f4").tobytes()


async def test_rows_of_one_turn_share_batches_and_what_two_left_waiting_leaves_with_what_came_since() -> None:
    model = Doubling()
    link = joined(model)
    scored = [link.score(row(value)) for value in range(130)]
    asyncio.get_running_loop().call_soon(lambda: scored.extend(link.score(row(value)) for value in range(130, 150)))
    async with asyncio.timeout(10):
        await scored[0]  # the others have come meanwhile
        answers = await asyncio.gather(*scored)

    assert model.rows == [64, 64, 22]
    assert [values for values, _ in answers] == [row(2 * value) for value in range(150)]


async def test_a_caller_who_left_takes_nothing_from_those_in_its_batch() -> None:
    link = joined(Doubling())
    gone, kept = link.score(row(1)), link.score(row(3))
    gone.cancel()
    async with asyncio.timeout(10):
        values, _ = await kept

    assert values == row(6)
