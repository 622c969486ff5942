"""
Asks one gateway of this machine something, on the Unix socket of its admin API.

A gateway is asked many times a second while something changes, by a process that shares the cores of those that answer
requests, so this is as little as it takes: a connection for each question, HTTP/1.0 and the length of the answer. No
connection is kept: a gateway that has been started anew is found by its path, and what was asked is never asked twice.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Answer", "BadAnswer", "ask", "parsed"]

_PIECE = 1 << 16
_LARGEST_HEAD = 1 << 16
_LENGTH = b"content-length"


class BadAnswer(ConnectionError):
    """What came is no answer, or only the beginning of one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """As far as it matters here."""

    status: int
    body: bytes


async def ask(
    path: Path, method: str, target: str, seconds: float, body: bytes | None = None, *, credential: str = ""
) -> Answer:
    """
    ``body`` is JSON, ``credential`` what somebody else has shown us in ``Authorization``. Raises ``OSError``, also
    where there is no whole answer in time (``TimeoutError``).
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, str(path))
            await loop.sock_sendall(connection, _request(method, target, body, credential))
            received = bytearray()
            while piece := await loop.sock_recv(connection, _PIECE):
                received += piece
                if (answer := parsed(received)) is not None:
                    return answer
    raise BadAnswer("the connection ended before the answer did")


def parsed(received: bytes | bytearray) -> Answer | None:
    """None while there is more to come. Raises ``BadAnswer``."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > _LARGEST_HEAD:
            raise BadAnswer("there is no end of the head")
        return None
    first, *fields = bytes(received[:end]).split(b"\r\n")
    lengths = [value for name, _, value in (field.partition(b":") for field in fields) if name.lower() == _LENGTH]
    try:
        status, length = int(first.split(b" ", 2)[1]), int(lengths[0])
    except (IndexError, ValueError):
        raise BadAnswer("the head has no status, or no length") from None
    begin = end + 4
    if len(received) < begin + length:
        return None
    return Answer(status, bytes(received[begin : begin + length]))


def _request(method: str, target: str, body: bytes | None, credential: str) -> bytes:
    head = f"{method} {target} HTTP/1.0\r\nHost: gateway\r\n"
    if credential:
        if "\r" in credential or "\n" in credential:
            raise ValueError("expected a credential of one line")
        head += f"Authorization: {credential}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode(errors="surrogateescape") + b"\r\n" + (body or b"")
