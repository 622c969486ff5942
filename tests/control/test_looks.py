"""Looks in a thread: what is told of them, when they end, and that one that hangs is found out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.control.looks import Looks
from tests.support.paced import Following, Paced

PAUSE = 0.2


@asynccontextmanager
async def looks_at(
    look: Callable[[], tuple[Any, bool]], paced: Paced | None = None, limit: float = 30.0
) -> AsyncIterator[Looks]:
    looks = Looks(look, limit=limit, **({"alarm": paced.alarm} if paced else {}))
    try:
        yield looks
    finally:
        looks.close()


async def test_what_is_new_is_told_when_two_looks_in_a_row_have_seen_the_same() -> None:
    paced, seen = Paced(), iter([("a", False), ("b", True), ("c", True), ("c", True)])
    async with (
        looks_at(lambda: next(seen), paced) as looks,
        Following(looks.until_new(PAUSE), paced) as following,
    ):
        assert not await following.turns(3)
        assert await following.turns(1)


async def test_what_is_known_is_not_told_however_often_it_is_seen() -> None:
    paced = Paced()
    async with (
        looks_at(lambda: ("a", False), paced) as looks,
        Following(looks.until_new(PAUSE), paced) as following,
    ):
        assert not await following.turns(4)


async def test_there_is_a_pause_before_each_look() -> None:
    paced = Paced()
    async with looks_at(lambda: ("a", True), paced) as looks, Following(looks.until_new(PAUSE), paced) as following:
        await following.turns(2)

    assert paced.lengths == [PAUSE, PAUSE]


async def test_one_look_may_be_asked_for() -> None:
    paced = Paced()
    async with (
        looks_at(lambda: ("a", True), paced) as looks,
        Following(looks.until_new(PAUSE, is_once=True), paced) as following,
    ):
        assert await following.turns(1)


async def test_who_is_woken_has_seen_nothing_new() -> None:
    paced = Paced()
    async with looks_at(lambda: ("a", True), paced) as looks:
        waiting = asyncio.create_task(looks.until_new(PAUSE))
        await paced.arrived()
        looks.wake()

        assert not await waiting


async def test_an_error_of_a_look_is_told_and_the_next_look_made() -> None:
    paced, errors = Paced(), [OSError(5, "Input/output error")]

    def look() -> tuple[str, bool]:
        if errors:
            raise errors.pop()
        return "a", True

    async with looks_at(look, paced) as looks:
        paced.end()
        with pytest.raises(OSError, match="Input/output error"):
            await looks.until_new(PAUSE)
        await paced.arrived()
        async with Following(looks.until_new(PAUSE), paced) as following:
            await following.turns(1)

            assert await following.turns(1)


async def test_a_look_that_does_not_end_is_given_up_and_so_is_the_one_behind_it() -> None:
    paced, goes_on = Paced(), threading.Event()

    def look() -> tuple[str, bool]:
        goes_on.wait(20.0)
        return "a", False

    async with looks_at(look, paced, limit=0.01) as looks:
        paced.end()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await looks.until_new(PAUSE)
        goes_on.set()  # or the thread would outlive the test


async def test_nobody_looks_for_who_has_left() -> None:
    paced, made = Paced(), threading.Event()

    def look() -> tuple[str, bool]:
        made.set()
        return "a", False

    async with looks_at(look, paced) as looks:
        waiting = asyncio.create_task(looks.until_new(PAUSE))
        await paced.arrived()
        waiting.cancel()
        await asyncio.wait([waiting])
        # Behind it in the same thread: the pause of the first has ended, and not with a look.
        again = asyncio.create_task(looks.until_new(PAUSE))
        await paced.arrived()

        assert not made.is_set()

        looks.wake()
        await again
