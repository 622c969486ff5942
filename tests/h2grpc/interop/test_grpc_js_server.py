"""Our channel with a server of gRPC's own library for Node.js, over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

import h2grpc
from h2grpc import Status
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.support.stack import ROOT

LARGE = 64 << 20
CONFIG = h2grpc.ChannelConfig(limits=replace(h2grpc.CLIENT_LIMITS, max_receive_message=LARGE + 1))


@dataclass(frozen=True, slots=True)
class Node:
    process: asyncio.subprocess.Process
    channel: h2grpc.Channel

    def unary(self, name: str) -> Any:
        return self.channel.unary_unary(f"/t.Echo/{name}")

    async def line(self) -> str:
        """What the server prints next."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    leaf = authority.issue_cert("localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(chain))
    leaf.private_key_pem.write_to_path(str(key))
    script = ROOT / "tests" / "support" / "node" / "server.js"
    process = await asyncio.create_subprocess_exec(
        "node", str(script), str(chain), str(key), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with h2grpc.secure_channel(f"localhost:{port}", trust, config=CONFIG) as channel:
            yield Node(process, channel)
            held = channel.counters["held_bytes"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    assert held == 0


async def failure(call: Any) -> tuple[Status, str | None]:
    with pytest.raises(h2grpc.RpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_all_four_kinds_of_calls_are_answered(node: Node) -> None:
    split: Any = node.channel.unary_stream("/t.Echo/split")
    join: Any = node.channel.stream_unary("/t.Echo/join")
    chat: Any = node.channel.stream_stream("/t.Echo/chat")

    assert await node.unary("echo")(b"one") == b"one"
    assert [part async for part in split(b"abc")] == [b"a", b"b", b"c"]
    assert await join(iter([b"ab", b"", b"cd"])) == b"abcd"
    assert [part async for part in chat(iter([b"a", b"b"]))] == [b"A", b"B"]


async def test_a_message_of_64_megabytes_goes_both_ways(node: Node) -> None:
    message = bytes(range(256)) * (LARGE // 256)

    assert await node.unary("echo")(message) == message


async def test_metadata_goes_both_ways(node: Node) -> None:
    call = node.unary("echo")(b"", metadata=(("x-a", "1"), ("x-b-bin", b"\x00\x80")))
    await call

    assert dict(await call.initial_metadata())["x-a"] == "1"
    assert dict(await call.trailing_metadata())["x-b-bin"] == b"\x00\x80"


async def test_its_status_is_told(node: Node) -> None:
    assert await failure(node.unary("abort")("100 % schön".encode())) == (Status.FAILED_PRECONDITION, "100 % schön")


async def test_an_unknown_method_is_unimplemented(node: Node) -> None:
    assert (await failure(node.unary("nothing")(b"")))[0] is Status.UNIMPLEMENTED


async def test_a_deadline_is_kept_and_the_server_is_told(node: Node) -> None:
    assert (await failure(node.unary("wait")(b"", timeout=0.3)))[0] is Status.DEADLINE_EXCEEDED
    assert [await node.line(), await node.line()] == ["waits", "left"]


async def test_a_reader_that_leaves_in_the_middle_is_noticed(node: Node) -> None:
    pour: Any = node.channel.unary_stream("/t.Echo/pour")
    call = pour(b"")
    await call.read()
    call.cancel()

    assert await node.line() == "left"
    assert await node.unary("echo")(b"still here") == b"still here"


async def test_thousands_of_calls_at_once_are_answered(node: Node) -> None:
    echo = node.unary("echo")
    answers = await asyncio.gather(*(echo(b"%d" % number) for number in range(3_000)))

    assert answers == [b"%d" % number for number in range(3_000)]


async def test_a_server_that_is_killed_is_unavailable(node: Node) -> None:
    call = node.unary("wait")(b"")
    assert await node.line() == "waits"
    node.process.kill()

    assert (await failure(call))[0] is Status.UNAVAILABLE
