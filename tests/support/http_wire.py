"""HTTP/1.1 byte by byte: what a test sends is exactly what the server gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.edge_app import Edge

__all__ = ["BODY", "Wire", "connected", "post"]

BODY = b'[{"carat": 0.23, "cut": "Ideal"}]'


def post(body: bytes = BODY, *extra: str, version: str = "1.1") -> bytes:
    """A request to score, with ``extra`` header lines."""
    lines = [f"POST /score HTTP/{version}", "Host: localhost", f"Content-Length: {len(body)}", *extra, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class Wire:
    """A connection that is read one answer at a time, and never for longer than five seconds."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(5):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            length = int(headers.get("content-length", "0")) if has_body else 0
            return int(first.split()[1]), headers, await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(5):
            return await self._reader.read()

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected(edge: Edge) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
