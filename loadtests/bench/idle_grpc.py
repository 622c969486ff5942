"""
One gRPC call after the other on a blocking socket, with nothing in the timed part but to send bytes and to read them.

The HTTP/2 engine makes the bytes of a call before the clock starts and takes the answer's after it stopped. In between
only the heads of frames are looked at, for the one that ends the call.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import ngh2

from loadtests.bench.grpc_connection import fields
from loadtests.bench.idle import compute_ms
from loadtests.bench.load import Request

__all__ = ["GrpcCaller", "is_whole"]

_HEAD = 9
"""Bytes before each frame: length (3), type, flags, stream (4); RFC 9113, section 4.1."""
_HEADERS, _RST_STREAM, _END_STREAM = 1, 3, 1


class GrpcCaller:
    """``request.body`` is framed."""

    def __init__(self, channel: socket.socket, request: Request) -> None:
        url = urlsplit(request.url)
        self._channel, self._body = channel, request.body
        self._fields = fields(url.netloc, url.path, request.headers)
        self._engine = ngh2.Connection(ngh2.Role.CLIENT)
        self._engine.initiate_connection()
        self._stream = 0
        self._call = self._answer = b""

    def prepare(self) -> None:
        self._stream = self._engine.send_request(self._fields)
        self._engine.send_data(self._stream, self._body, end_stream=True)
        self._call = self._engine.data_to_send() or b""

    def ask(self) -> None:
        self._channel.sendall(self._call)
        data = self._channel.recv(65536)
        while not is_whole(data, self._stream):
            more = self._channel.recv(65536)
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        self._answer = data

    def compute_ms(self) -> float:
        self._engine.receive_data(self._answer)
        head: dict[bytes, bytes] = {}
        for event in self._engine.events():
            if isinstance(event, (ngh2.ResponseReceived, ngh2.TrailersReceived)):
                head.update((name, value) for name, value in event.headers)
        if head.get(b"grpc-status") != b"0":
            raise ConnectionError(f"expected status 0, got {head.get(b'grpc-status')!r}")
        return compute_ms(head.get(b"server-timing", b""))


def is_whole(data: bytes, stream: int) -> bool:
    """Whether the frames in ``data`` end the call on ``stream``."""
    at = 0
    while len(data) - at >= _HEAD:
        end = at + _HEAD + int.from_bytes(data[at : at + 3], "big")
        kind, flags, of = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big")
        if end > len(data):
            return False
        if of == stream and (kind == _RST_STREAM or (kind == _HEADERS and flags & _END_STREAM)):
            return True
        at = end
    return False
