"""On a loop whose time passes only when nothing else is left to do."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from gateway.pool.prefetch import SHARE, SHORTEST, Prefetch
from tests.support.virtual_loop import VirtualLoop, on_virtual_time


class Bench:
    """A worker whose batches have taken ``seconds`` so far."""

    def __init__(self, seconds: float) -> None:
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.opened: list[float] = []
        self.prefetch = Prefetch(lambda: self.opened.append(self.loop.now))
        for _ in range(30):
            self.prefetch.computed(seconds)


@on_virtual_time
async def test_the_place_opens_when_the_batch_is_half_done() -> None:
    bench = Bench(2.0)
    began = bench.loop.now
    bench.prefetch.begins()
    was_open = bench.prefetch.is_open
    await asyncio.sleep(10)

    assert (was_open, bench.prefetch.is_open) == (False, True)
    assert bench.opened == [pytest.approx(began + 2.0 * SHARE)]


@on_virtual_time
async def test_before_anything_was_measured_the_place_is_open() -> None:
    prefetch = Prefetch(lambda: None)
    prefetch.begins()

    assert prefetch.is_open


@on_virtual_time
async def test_a_model_faster_than_a_timer_is_never_made_to_wait() -> None:
    bench = Bench(SHORTEST)
    bench.prefetch.begins()

    assert bench.prefetch.is_open


@on_virtual_time
async def test_a_worker_that_is_done_early_opens_at_once_and_tells_nobody_later() -> None:
    bench = Bench(2.0)
    bench.prefetch.begins()
    bench.prefetch.ends()
    is_open = bench.prefetch.is_open
    await asyncio.sleep(10)

    assert (is_open, bench.opened) == (True, [])


@on_virtual_time
async def test_the_next_batch_is_timed_anew() -> None:
    bench = Bench(2.0)
    bench.prefetch.begins()
    await asyncio.sleep(0.75)
    began = bench.loop.now
    bench.prefetch.begins()
    await asyncio.sleep(10)

    assert bench.opened == [pytest.approx(began + 2.0 * SHARE)]


@on_virtual_time
async def test_one_pause_of_the_worker_hardly_counts() -> None:
    bench = Bench(0.01)
    bench.prefetch.computed(5.0)
    began = bench.loop.now
    bench.prefetch.begins()
    await asyncio.sleep(10)

    assert bench.opened[0] - began < 0.01
