"""Questions to one gateway over its Unix socket: whole answers or errors, and nothing in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.commands.admin_socket import Answer, BadAnswer, ask, parsed

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nCONTENT-LENGTH: 2\r\n\r\n"


class Gateway:
    """Answers with what it is told, once it has read the whole question; None: never."""

    def __init__(self, path: Path) -> None:
        self.path, self.asked, self.answer = path, b"", b""
        self.is_silent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        _, _, length = head.partition(b"Content-Length: ")
        self.asked = head + await reader.readexactly(int(length.split(b"\r\n")[0] or b"0"))
        if self.is_silent:
            await reader.read()  # until whoever asked has gone
        else:
            writer.write(self.answer)
        writer.close()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(tmp_path / "gateway.sock")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(await asyncio.start_unix_server(gateway.serve, gateway.path))
        yield gateway


@pytest.mark.parametrize("cut", [5, len(HEAD) - 1, len(HEAD), len(HEAD) + 1])
def test_half_an_answer_is_none_yet(cut: int) -> None:
    assert parsed((HEAD + b"{}")[:cut]) is None


def test_an_answer_is_whole_when_its_length_has_come() -> None:
    assert parsed(HEAD + b"{}") == Answer(200, b"{}")


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.0 200 OK\r\n\r\n", b"what\r\nContent-Length: 2\r\n\r\n", b"HTTP/1.0 200\r\nContent-Length: x\r\n\r\n"],
)
def test_what_has_no_status_or_no_length_is_no_answer(head: bytes) -> None:
    with pytest.raises(BadAnswer, match="the head has no status, or no length"):
        parsed(head)


def test_a_head_without_an_end_is_given_up() -> None:
    with pytest.raises(BadAnswer, match="there is no end of the head"):
        parsed(b"a" * 70_000)


async def test_a_question_without_a_body_says_so_and_nothing_more(gateway: Gateway) -> None:
    gateway.answer = HEAD + b"{}"

    assert await ask(gateway.path, "GET", "/served", 5.0) == Answer(200, b"{}")
    assert gateway.asked == b"GET /served HTTP/1.0\r\nHost: gateway\r\n\r\n"


async def test_a_body_larger_than_a_socket_takes_at_once_arrives_whole(gateway: Gateway) -> None:
    gateway.answer = HEAD + b"{}"
    body = b"[" + b"1," * 1_000_000 + b"1]"
    await ask(gateway.path, "PUT", "/served", 20.0, body)

    assert gateway.asked.endswith(b"\r\n\r\n" + body)


async def test_an_answer_larger_than_a_socket_takes_at_once_arrives_whole(gateway: Gateway) -> None:
    gateway.answer = b"HTTP/1.0 503 No\r\nContent-Length: 2000000\r\n\r\n" + b"ab" * 1_000_000

    assert await ask(gateway.path, "GET", "/metrics", 20.0) == Answer(503, b"ab" * 1_000_000)


async def test_a_gateway_that_ends_in_the_middle_of_its_answer_has_not_answered(gateway: Gateway) -> None:
    gateway.answer = HEAD + b"{"
    with pytest.raises(BadAnswer, match="the connection ended before the answer did"):
        await ask(gateway.path, "GET", "/served", 5.0)


async def test_a_gateway_that_says_nothing_is_waited_for_so_long(gateway: Gateway) -> None:
    gateway.is_silent = True
    with pytest.raises(TimeoutError):
        await ask(gateway.path, "GET", "/served", 0.01)


async def test_where_nobody_listens_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await ask(tmp_path / "gateway.sock", "GET", "/served", 5.0)
