"""
One connection to one server: commands go out in order, and each answer finds its own asker.

RESP has no numbers on its answers, only their order. So what was asked stays in the line until its answer has come,
also when nobody waits for it any more: a late answer is taken and dropped by its own place in the line, and can never
be taken for somebody else's. A connection that breaks the protocol, or is lost, fails everything in its line.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from feature_cache.address import Address
from feature_cache.credentials import Credential
from feature_cache.errors import StoreRefused, Unavailable
from feature_cache.resp import Parser, ProtocolError, Push, Reply, ReplyError, command

__all__ = ["Answered", "Connection", "connect"]


class Answered(Protocol):
    """Who sent commands: told once, with all answers, or with the reason why there are none."""

    def answered(self, replies: Sequence[Reply]) -> None: ...

    def failed(self, reason: Unavailable) -> None: ...


class Connection(asyncio.Protocol):
    """
    Made by ``connect``; ``on_push`` gets what the server sends unasked, ``on_lost`` is called once at the end.

    Callbacks run on the event loop and must not raise.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        on_push: Callable[[Push], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._on_push = on_push
        self._on_lost = on_lost
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._line: deque[_Asked] = deque()
        self.is_open = False

    @property
    def waiting(self) -> int:
        """Rounds without an answer."""
        return len(self._line)

    def overdue(self, now: float) -> float:
        """For how long the oldest round has had no answer."""
        return now - self._line[0].at if self._line else 0.0

    def send(self, payload: bytes, count: int, asker: Answered) -> None:
        """Send ``count`` commands. Raises ``Unavailable`` when the connection is gone."""
        if not self.is_open or self._transport is None:
            raise Unavailable("the connection is closed")
        self._line.append(_Asked(asker, count, self._clock()))
        self._transport.write(payload)

    async def ask(self, *words: bytes | str | int, timeout: float) -> Reply:  # noqa: ASYNC109 — the one place that waits for one command
        """One command. Raises ``Unavailable`` when no answer comes in time, ``StoreRefused`` when it is an error."""
        asker = _OneReply(asyncio.get_running_loop().create_future())
        self.send(command(*words), 1, asker)
        try:
            async with asyncio.timeout(timeout):
                reply = await asker.reply
        except TimeoutError:
            raise Unavailable("no answer in time") from None
        if isinstance(reply, ReplyError):
            raise StoreRefused(str(reply))
        return reply

    def close(self) -> None:
        """At once; what is in the line fails."""
        if self._transport is not None:
            self._transport.abort()
        self._end("the connection was closed")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")  # noqa: S101 — uvloop's is no subclass
        self._transport = transport  # type: ignore[assignment]
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        try:
            replies = self._parser.feed(data)
        except ProtocolError:
            if self._transport is not None:
                self._transport.abort()
            self._end("the server does not speak RESP")
            return
        line = self._line
        for reply in replies:
            if type(reply) is Push:
                if self._on_push is not None:
                    self._on_push(reply)
                continue
            if not line:  # an answer that nobody asked for: order is lost, and with it all trust
                self.close()
                return
            asked = line[0]
            asked.replies.append(reply)
            if len(asked.replies) == asked.count:
                line.popleft()
                asked.asker.answered(asked.replies)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — asyncio.Protocol
        self._end("the connection was lost")

    def _end(self, reason: str) -> None:
        if not self.is_open:
            return
        self.is_open = False
        line, self._line = self._line, deque()
        for asked in line:
            asked.asker.failed(Unavailable(reason))
        if self._on_lost is not None:
            self._on_lost()


class _Asked:
    __slots__ = ("asker", "at", "count", "replies")

    def __init__(self, asker: Answered, count: int, at: float) -> None:
        self.asker, self.count, self.at = asker, count, at
        self.replies: list[Reply] = []


class _OneReply:
    """Waits for one answer; late ones are dropped."""

    def __init__(self, reply: asyncio.Future[Reply]) -> None:
        self.reply = reply

    def answered(self, replies: Sequence[Reply]) -> None:
        if not self.reply.done():
            self.reply.set_result(replies[0])

    def failed(self, reason: Unavailable) -> None:
        if not self.reply.done():
            self.reply.set_exception(reason)


async def connect(
    address: Address,
    connection: Connection,
    *,
    tls: ssl.SSLContext | None,
    credential: Credential,
    db: int,
    timeout: float,  # noqa: ASYNC109 — bounds the whole handshake
) -> None:
    """Connect and say who we are. Raises ``Unavailable`` or ``StoreRefused``."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            if address.path:
                await loop.create_unix_connection(lambda: connection, address.path)
            else:
                name = address.host if tls else None
                await loop.create_connection(
                    lambda: connection, address.host, address.port, ssl=tls, server_hostname=name
                )
    except TimeoutError:
        raise Unavailable(f"{address}: no connection in time") from None
    except OSError as error:  # ssl.SSLError is one
        raise Unavailable(f"{address}: {error.strerror or type(error).__name__}") from error
    except UnicodeError:
        raise Unavailable(f"{address}: no name of a host") from None
    try:
        hello: list[bytes | str | int] = ["HELLO", 3]
        if credential.password is not None:
            hello += ["AUTH", credential.user or "default", credential.password]
        await connection.ask(*hello, "SETNAME", "lockgate", timeout=timeout)
        if db:
            await connection.ask("SELECT", db, timeout=timeout)
    except (StoreRefused, Unavailable):
        connection.close()
        raise
