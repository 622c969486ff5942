"""A line to a Unix socket that can be cut and mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

__all__ = ["Line", "cut_line"]


class Line:
    """While it is cut, what was connected is not any more, and what connects is turned away."""

    def __init__(self, target: Path) -> None:
        self._target, self._is_cut = target, False
        self._links: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        self._is_cut = True
        for link in self._links:
            link.cancel()

    def mend(self) -> None:
        self._is_cut = False

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(*self._links, return_exceptions=True)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        link = asyncio.create_task(self._carry_both(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _carry_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        ways = [asyncio.create_task(_carry(reader, far_writer)), asyncio.create_task(_carry(far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, far_writer):
                end.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def cut_line(target: Path, at: Path) -> AsyncIterator[Line]:
    """To ``target``, listening ``at``."""
    line = Line(target)
    server = await asyncio.start_unix_server(line.accept, at)
    try:
        yield line
    finally:
        server.close()
        await line.close()
        await server.wait_closed()
