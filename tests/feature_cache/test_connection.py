"""One connection, with a server whose answers a test writes itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from feature_cache.address import Address
from feature_cache.connection import Connection, connect
from feature_cache.credentials import Credential
from feature_cache.errors import StoreRefused, Unavailable
from feature_cache.resp import Push, command


class Asker:
    """Notes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def answered(self, replies: Sequence[Any]) -> None:
        self.told.append(list(replies))

    def failed(self, reason: Unavailable) -> None:
        self.told.append(str(reason))


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_aborted = True


def connected(**callbacks: Any) -> tuple[Connection, Transport]:
    connection, transport = Connection(lambda: 100.0, **callbacks), Transport()
    connection.connection_made(transport)
    return connection, transport


def test_each_round_gets_its_own_answers_in_order() -> None:
    connection, transport = connected()
    one, two = Asker(), Asker()
    connection.send(b"a", 2, one)
    connection.send(b"b", 1, two)
    connection.data_received(b":1\r\n:2\r\n:3")

    assert (transport.written, one.told, two.told) == (b"ab", [[1, 2]], [])

    connection.data_received(b"\r\n")

    assert two.told == [[3]]


def test_what_is_pushed_is_nobodys_answer() -> None:
    pushed: list[Push] = []
    connection, _ = connected(on_push=pushed.append)
    asker = Asker()
    connection.send(b"a", 1, asker)
    connection.data_received(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n:1\r\n")

    assert pushed == [[b"invalidate", [b"k"]]]
    assert asker.told == [[1]]


def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    lost: list[None] = []
    connection, transport = connected(on_lost=lambda: lost.append(None))
    connection.data_received(b":1\r\n")

    assert transport.is_aborted
    assert not connection.is_open
    assert lost == [None]


def test_what_is_no_resp_ends_the_connection_and_fails_what_waits() -> None:
    connection, transport = connected()
    asker = Asker()
    connection.send(b"a", 1, asker)
    connection.data_received(b"HTTP/1.1 400 Bad Request\r\n")

    assert transport.is_aborted
    assert asker.told == ["the server does not speak RESP"]


def test_a_lost_connection_fails_what_waits_and_is_told_once() -> None:
    lost: list[None] = []
    connection, _ = connected(on_lost=lambda: lost.append(None))
    asker = Asker()
    connection.send(b"a", 1, asker)
    connection.connection_lost(None)
    connection.close()

    assert asker.told == ["the connection was lost"]
    assert lost == [None]


def test_nothing_is_sent_on_a_closed_connection() -> None:
    connection, transport = connected()
    connection.close()

    with pytest.raises(Unavailable):
        connection.send(b"a", 1, Asker())
    assert transport.written == b""


def test_the_oldest_round_says_how_long_it_has_waited() -> None:
    connection, _ = connected()
    before = connection.overdue(103.0)
    connection.send(b"a", 1, Asker())

    assert (before, connection.overdue(103.0), connection.waiting) == (0.0, 3.0, 1)


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[tuple[Address, list[bytes]]]:
    """A server that takes everything and says nothing."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            heard.append(data)
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "s")
    yield Address(path=str(tmp_path / "s")), heard
    server.close()


async def test_a_server_that_says_nothing_is_not_waited_for(silent: tuple[Address, list[bytes]]) -> None:
    connection = Connection(lambda: 0.0)

    with pytest.raises(Unavailable, match="no answer in time"):
        await connect(silent[0], connection, tls=None, credential=Credential("a", "b"), db=0, timeout=0.05)
    assert not connection.is_open


async def test_hello_says_who_we_are(silent: tuple[Address, list[bytes]]) -> None:
    with pytest.raises(Unavailable):
        await connect(
            silent[0], Connection(lambda: 0.0), tls=None, credential=Credential("me", "pw"), db=0, timeout=0.05
        )

    assert b"".join(silent[1]) == command("HELLO", 3, "AUTH", "me", "pw", "SETNAME", "lockgate")


async def test_an_error_is_an_answer_that_is_raised() -> None:
    connection, _ = connected()
    asking = asyncio.create_task(connection.ask("PING", timeout=5))
    await asyncio.sleep(0)
    connection.data_received(b"-NOPERM no\r\n")

    with pytest.raises(StoreRefused, match="NOPERM"):
        await asking


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next() -> None:
    connection, _ = connected()
    with pytest.raises(Unavailable):
        await connection.ask("GET", "a", timeout=0)
    asking = asyncio.create_task(connection.ask("GET", "b", timeout=5))
    await asyncio.sleep(0)
    connection.data_received(b"$1\r\na\r\n$1\r\nb\r\n")

    assert await asking == b"b"
