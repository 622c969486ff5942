"""The server with gRPC's own client for Node.js, which is written on Node's HTTP/2 and not on grpcio's."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

import h2grpc
from h2grpc.limits import Limits
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.support.h2grpc_echo import EchoServicer, add_echo
from tests.support.node_client import Ended, NodeCall, NodeClient, node

LIMITS = Limits(max_receive_message=65 << 20)


@dataclass(frozen=True, slots=True)
class Echo:
    server: h2grpc.Server
    servicer: EchoServicer
    client: NodeClient


@pytest.fixture
async def echo(tmp_path: Path) -> AsyncIterator[Echo]:
    """A server over TLS, and Node's client of it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server, servicer = h2grpc.server(limits=LIMITS), EchoServicer()
    add_echo(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", context)
    await server.start()
    try:
        async with node(f"localhost:{port}", tmp_path / "ca.pem") as client:
            yield Echo(server, servicer, client)
    finally:
        await server.stop(None)
    assert server.counters["held_bytes"] == 0


def outcome(ended: Ended) -> tuple[str, list[Any]]:
    return ended.code, ended.messages


async def test_a_unary_call_is_answered(echo: Echo) -> None:
    assert outcome(await echo.client.call("unary", "/t.Echo/echo", b"hello")) == ("OK", [b"hello"])


async def test_an_empty_message_is_a_message(echo: Echo) -> None:
    assert outcome(await echo.client.call("unary", "/t.Echo/echo", b"")) == ("OK", [b""])


async def test_a_server_stream_arrives_in_order(echo: Echo) -> None:
    ended = await echo.client.call("server", "/t.Echo/split", b"abc")

    assert outcome(ended) == ("OK", [b"a", b"b", b"c"])


async def test_a_client_stream_is_read_to_its_end(echo: Echo) -> None:
    ended = await echo.client.call("client", "/t.Echo/join", b"ab", b"", b"cd")

    assert outcome(ended) == ("OK", [b"abcd"])


@pytest.mark.parametrize("method", ["chat", "read_write"])
async def test_a_conversation_goes_both_ways_at_once(echo: Echo, method: str) -> None:
    call = echo.client.start("duplex", f"/t.Echo/{method}", is_open=True, tell=True)
    heard = []
    for word in (b"ONE", b"TWO", b"THREE"):
        call.send(word)
        heard.append(await call.heard.get())
    call.half_close()
    ended = await call.ended

    assert heard == [b"ONE", b"TWO", b"THREE"]
    assert outcome(ended) == ("OK", heard)


async def test_a_stream_that_is_closed_at_once_ends_well(echo: Echo) -> None:
    assert outcome(await echo.client.call("duplex", "/t.Echo/chat")) == ("OK", [])


async def test_a_message_of_64_megabytes_goes_both_ways(echo: Echo) -> None:
    ended = await echo.client.call("unary", "/t.Echo/echo", 64 << 20)

    assert outcome(ended) == ("OK", [64 << 20])


async def test_a_stream_of_large_messages_goes_both_ways(echo: Echo) -> None:
    ended = await echo.client.call("duplex", "/t.Echo/read_write", *[300_000] * 40)

    assert outcome(ended) == ("OK", [300_000] * 40)


async def test_a_message_beyond_the_limit_fails_its_call_only(echo: Echo) -> None:
    too_long = await echo.client.call("unary", "/t.Echo/echo", 66 << 20)
    after = await echo.client.call("unary", "/t.Echo/echo", b"still here")

    assert too_long.code == "RESOURCE_EXHAUSTED"
    assert outcome(after) == ("OK", [b"still here"])


async def test_metadata_goes_both_ways(echo: Echo) -> None:
    sent = [("x-a", "1"), ("x-b-bin", hashlib.sha256(b"").digest())]
    ended = await echo.client.call("unary", "/t.Echo/headers", b"", metadata=sent)

    assert outcome(ended) == ("OK", [repr(sent).encode()])
    assert {("early", "yes"), ("early-bin", b"\x01")} <= set(ended.initial)
    assert ("late", "yes") in ended.trailing


async def test_abort_sends_its_status_details_and_trailers(echo: Echo) -> None:
    ended = await echo.client.call("unary", "/t.Echo/abort", "100 % schön\n".encode())

    assert (ended.code, ended.details) == ("FAILED_PRECONDITION", "100 % schön\n")
    assert {("reason", "test"), ("detail-bin", b"\x00\xff")} <= set(ended.trailing)


async def test_an_unknown_method_is_unimplemented(echo: Echo) -> None:
    assert (await echo.client.call("unary", "/t.Echo/nothing", b"")).code == "UNIMPLEMENTED"


async def test_a_deadline_ends_the_call_and_its_handler(echo: Echo) -> None:
    ended = await echo.client.call("unary", "/t.Echo/wait", b"", timeout=0.2)
    await echo.servicer.cancelled.wait()

    assert ended.code == "DEADLINE_EXCEEDED"
    assert echo.servicer.running == 0


async def test_the_handler_knows_the_deadline(echo: Echo) -> None:
    ended = await echo.client.call("unary", "/t.Echo/peer", b"", timeout=30.0)

    assert ended.messages[0].endswith(b"True)")


async def started(echo: Echo, count: int) -> list[NodeCall]:
    """So many calls whose handlers wait."""
    echo.servicer.crowd = count
    calls = [echo.client.start("unary", "/t.Echo/wait", str(number).encode()) for number in range(count)]
    await echo.servicer.is_crowded.wait()
    return calls


async def test_a_caller_that_leaves_cancels_its_handler_and_no_other(echo: Echo) -> None:
    first, second = await started(echo, 2)
    first.cancel()
    await echo.servicer.cancelled.wait()
    echo.servicer.release.set()

    assert (await first.ended).code == "CANCELLED"
    assert outcome(await second.ended) == ("OK", [b"1"])


async def test_a_reader_that_leaves_in_the_middle_ends_the_stream(echo: Echo) -> None:
    call = echo.client.start("server", "/t.Echo/pour", b"1000", tell=True)
    await call.heard.get()
    call.cancel()
    await echo.servicer.cancelled.wait()

    assert (await call.ended).code == "CANCELLED"


async def test_five_thousand_calls_in_flight_are_each_answered(echo: Echo) -> None:
    calls = await started(echo, 5_000)
    echo.servicer.release.set()
    ended = [await call.ended for call in calls]

    assert [outcome(end) for end in ended] == [("OK", [str(number).encode()]) for number in range(5_000)]
    assert {end.ends for end in ended} == {1}


async def test_a_graceful_stop_answers_what_was_accepted(echo: Echo) -> None:
    (call,) = await started(echo, 1)
    stopping = asyncio.create_task(echo.server.stop(60))
    echo.servicer.release.set()

    assert outcome(await call.ended) == ("OK", [b"0"])
    await stopping


async def test_a_connection_that_dies_is_unavailable_and_the_next_call_has_a_new_one(echo: Echo) -> None:
    (call,) = await started(echo, 1)
    for connection in list(echo.server.connections):
        connection.abort()
    lost = await call.ended
    after = await echo.client.call("unary", "/t.Echo/echo", b"again")

    assert lost.code == "UNAVAILABLE"
    assert outcome(after) == ("OK", [b"again"])


async def test_a_client_that_is_killed_leaves_no_handler_and_no_connection(echo: Echo) -> None:
    calls = await started(echo, 20)
    echo.client.process.kill()
    await echo.server.emptied.wait()
    await echo.servicer.cancelled.wait()

    assert not echo.server.connections
    await asyncio.wait([call.ended for call in calls])
    assert echo.servicer.running == 0
