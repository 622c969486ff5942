"""A server that does what a test tells it, frame by frame, on a Unix socket: for what no honest server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ngh2

__all__ = ["HEAD", "OK", "Script", "Session", "scripted"]

HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK = [(b"grpc-status", b"0")]


class Session(asyncio.Protocol):
    """One accepted connection; ``number`` counts them from 1."""

    def __init__(self, number: int, script: Script, settings: dict[int, int]) -> None:
        self.number, self._script, self._settings = number, script, settings
        self.engine = ngh2.Connection(ngh2.Role.SERVER)
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.engine.initiate_connection(self._settings)
        self.engine.set_local_window_size(16 << 20)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.engine.receive_data(data)
        for event in self.engine.events():
            self._script(self, event)
        self.flush()

    def answer(self, stream_id: int, message: bytes) -> None:
        self.engine.send_response(stream_id, HEAD)
        self.engine.send_data(stream_id, b"\0" + len(message).to_bytes(4, "big") + message)
        self.engine.send_trailers(stream_id, OK)

    def flush(self) -> None:
        if data := self.engine.data_to_send():
            self.transport.write(data)


Script = Callable[[Session, Any], None]


@asynccontextmanager
async def scripted(path: Path, script: Script, settings: dict[int, int] | None = None) -> AsyncIterator[list[Session]]:
    """Yields the sessions there have been."""
    sessions: list[Session] = []

    def accept() -> Session:
        sessions.append(Session(len(sessions) + 1, script, settings or {}))
        return sessions[-1]

    server = await asyncio.get_running_loop().create_unix_server(accept, path)
    try:
        yield sessions
    finally:
        server.close()
        for session in sessions:
            if session.transport is not None:
                session.transport.abort()
        await server.wait_closed()
