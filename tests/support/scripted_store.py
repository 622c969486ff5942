"""A server that speaks RESP and answers reads when the test says so; everything else it grants at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from feature_cache.resp import Parser

__all__ = ["ScriptedStore", "start_scripted"]


class ScriptedStore:
    """``gets`` are reads that wait for ``answer``; ``push`` goes to whoever turned tracking on."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.gets: asyncio.Queue[tuple[bytes, asyncio.StreamWriter]] = asyncio.Queue()
        self._trackers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = Parser()
        while data := await reader.read(65536):
            for name, *rest in parser.feed(data):
                if name == b"GET":
                    self.gets.put_nowait((rest[0], writer))
                    continue
                if rest[:1] == [b"TRACKING"]:
                    self._trackers.append(writer)
                writer.write(b"%0\r\n" if name == b"HELLO" else b"+OK\r\n")
        writer.close()

    async def answer(self, raw: bytes) -> bytes:
        """Answer the read that has waited for longest; its key."""
        key, writer = await self.gets.get()
        writer.write(b"$%d\r\n%b\r\n" % (len(raw), raw))
        return key

    def push_changed(self, key: bytes) -> None:
        for writer in self._trackers:
            writer.write(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$%d\r\n%b\r\n" % (len(key), key))


@asynccontextmanager
async def start_scripted(folder: Path) -> AsyncIterator[ScriptedStore]:
    path = folder / "scripted.sock"
    store = ScriptedStore(f"unix://{path}")
    server = await asyncio.start_unix_server(store.serve, path)
    try:
        yield store
    finally:
        server.close()
