"""A line between two sockets that cuts what it carries anywhere, and dies when its dice say so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["faulty_relay"]

CHUNKS = (1, 9, 100, 5_000, 65_536)
LIVES = (100, 3_000, 50_000, 500_000, 1 << 40)
"""Bytes in both directions after which a link is cut."""


@asynccontextmanager
async def faulty_relay(target: int, dice: random.Random) -> AsyncIterator[int]:
    """The port at which it listens on the loopback, for ``target`` on the same. Every link is gone at the end."""
    links: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(_link(reader, writer, target, random.Random(dice.random())))
        links.add(link)
        link.add_done_callback(links.discard)
        link.add_done_callback(lambda _: writer.close())  # it may never have begun

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for link in list(links):
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        await server.wait_closed()


async def _link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int, dice: random.Random) -> None:
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        writer.transport.abort()
        return
    left = [dice.choice(LIVES)]
    ways = [_carry(reader, far_writer, left, dice), _carry(far_reader, writer, left, dice)]
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for end in (writer, far_writer):
            if dice.random() < 0.5:
                end.transport.abort()
            end.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int], dice: random.Random
) -> None:
    with suppress(OSError):
        while left[0] > 0 and (data := await reader.read(dice.choice(CHUNKS))):
            left[0] -= len(data)
            writer.write(data)
            await writer.drain()
