"""
Unary gRPC calls on one HTTP/2 connection, for load that must cost its sender little.

It knows of gRPC what it needs: a call is answered with its status code, and one that got none is told as broken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import ngh2

__all__ = ["BROKEN", "GrpcConnection", "fields"]

BROKEN = -1
"""Status of a call that ended without one."""


def fields(authority: str, path: str, metadata: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """What every call begins with."""
    given = {":method": "POST", ":scheme": "https", ":authority": authority, ":path": path}
    given |= {"content-type": "application/grpc", "te": "trailers", **metadata}
    return [(name.encode(), value.encode()) for name, value in given.items()]


class GrpcConnection(asyncio.Protocol):
    def __init__(self) -> None:
        self._engine = ngh2.Connection(ngh2.Role.CLIENT)
        self._answered: dict[int, Callable[[int], None]] = {}
        self._statuses: dict[int, int] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._engine.initiate_connection()
        self._flush()

    def ask(self, head: list[tuple[bytes, bytes]], message: bytes, answered: Callable[[int], None]) -> None:
        """``message`` is framed; ``answered`` is called with the status code, or ``BROKEN``."""
        if self._transport is None or self._transport.is_closing() or not self._engine.can_send_request:
            answered(BROKEN)
            return
        stream = self._engine.send_request(head)
        self._engine.send_data(stream, message, end_stream=True)
        self._answered[stream] = answered
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._engine.receive_data(data)
        for event in self._engine.events():
            if isinstance(event, (ngh2.ResponseReceived, ngh2.TrailersReceived)):
                for name, value in event.headers:
                    if name == b"grpc-status":
                        self._statuses[event.stream_id] = int(value)
            elif isinstance(event, ngh2.StreamClosed):
                self._tell(event.stream_id)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        for stream in list(self._answered):
            self._tell(stream)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _tell(self, stream: int) -> None:
        status = self._statuses.pop(stream, BROKEN)
        answered = self._answered.pop(stream, None)
        if answered is not None:
            answered(status)

    def _flush(self) -> None:
        if self._transport is not None and (data := self._engine.data_to_send()):
            self._transport.write(data)
