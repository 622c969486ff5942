"""One end of a connection of the floor (floor_gateway.py): the HTTP/2 engine, and its bytes in and out."""

from __future__ import annotations

import asyncio
from typing import cast

import ngh2

__all__ = ["HEAD", "Peer"]

HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
"""Of every answer."""


class Peer(asyncio.Protocol):
    """What events mean is for the subclass."""

    _transport: asyncio.Transport

    def __init__(self, role: ngh2.Role) -> None:
        self._engine = ngh2.Connection(role)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._engine.initiate_connection()
        self._flush()

    def _flush(self) -> None:
        if data := self._engine.data_to_send():
            self._transport.write(data)
