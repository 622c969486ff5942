"""The start as it is told: nobody waits for what will not come any more."""

from __future__ import annotations

import asyncio

from rich.console import Console

from gateway.commands.announce import Announcement
from gateway.commands.fleet import Fleet


def announcement(stop: asyncio.Event) -> Announcement:
    fleet = Fleet({}, list)
    return Announcement(Console(quiet=True), stop, fleet, groups=list, gateways=list, clock=lambda: 0.0)


async def test_whoever_stops_a_start_does_not_wait_for_the_rows_of_its_views() -> None:
    stop, filled = asyncio.Event(), asyncio.Event()
    waiting = asyncio.create_task(announcement(stop).until(filled))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(5):
        await waiting

    assert not filled.is_set()


async def test_a_start_goes_on_when_the_rows_are_there() -> None:
    stop, filled = asyncio.Event(), asyncio.Event()
    waiting = asyncio.create_task(announcement(stop).until(filled))
    await asyncio.sleep(0)
    was_waiting = not waiting.done()
    filled.set()
    async with asyncio.timeout(5):
        await waiting

    assert was_waiting
