"""The listener itself, byte by byte: framing, limits, disconnects and the drain."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

import msgspec
import pytest

from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.edge.config import EdgeConfig
from gateway.edge.http1 import Http1Server
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_route import Route
from gateway.edge.http_score import encode_score_error
from tests.support.edge_app import serving
from tests.support.edge_service import FakeCore, rows_of
from tests.support.http_wire import BODY, Wire, connected, post

pytestmark = pytest.mark.usefixtures("http_engine")

CONFIG = EdgeConfig(host="127.0.0.1", http_port=0, max_body_bytes=1000, max_header_bytes=2048)


async def test_one_connection_serves_many_requests() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        codes = []
        for _ in range(3):
            wire.send(post())
            codes.append((await wire.answer())[0])

    assert codes == [200, 200, 200]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post() + post(b"oops") + post())
        codes = [(await wire.answer())[0] for _ in range(3)]

    assert codes == [200, 400, 200]


async def test_an_http_1_0_client_may_keep_its_connection() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post(BODY, "Connection: keep-alive", version="1.0"))
        headers = (await wire.answer())[1]
        wire.send(post(BODY, version="1.0"))

        assert (headers["connection"], (await wire.answer())[1]["connection"]) == ("keep-alive", "close")
        assert await wire.rest() == b""


async def test_a_body_may_come_in_chunks() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(b"POST /score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"5\r\n" + BODY[:5] + b"\r\n%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n")

        assert (await wire.answer())[0] == 200
        assert edge.core.received[0].size == len(BODY)


async def test_a_broken_chunk_is_a_400() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(b"POST /score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"zz\r\nxx\r\n")

        assert (await wire.answer())[0] == 400


@pytest.mark.parametrize("size", [1001, 10_000_000])
async def test_a_body_over_the_limit_is_refused_before_it_is_sent(size: int) -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(f"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode())
        status, headers, body = await wire.answer()

    assert (status, headers["connection"]) == (413, "close")
    assert msgspec.json.decode(body)["error"]["code"] == "PayloadTooLarge"


async def test_a_body_that_arrives_whole_has_the_same_limit() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post(b"[" + b" " * 998 + b"]"))
        just = (await wire.answer())[0]
        wire.send(post(b"[" + b" " * 999 + b"]"))

        assert (just, (await wire.answer())[0]) == (200, 413)


async def test_chunks_over_the_limit_are_refused_when_they_pass_it() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(b"POST /score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"3e9\r\n" + b" " * 1001 + b"\r\n")

        assert (await wire.answer())[0] == 413


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever() -> None:
    config = msgspec.structs.replace(CONFIG, body_timeout_ms=1)
    async with serving(FakeCore(), config=config) as edge, connected(edge) as wire:
        wire.send(post(BODY)[:-3])
        status, headers, body = await wire.answer()

    assert (status, headers["connection"], msgspec.json.decode(body)["error"]["code"]) == (
        408,
        "close",
        "RequestTimeout",
    )


@pytest.mark.parametrize("sent", [b"", b"POST /score HTTP/1.1\r\nHost: loc"])
async def test_a_connection_whose_request_does_not_come_is_closed(sent: bytes) -> None:
    # Long enough for aiohttp to have begun to wait: it looks once, and a connection that is not idle then stays.
    config = msgspec.structs.replace(CONFIG, idle_timeout_ms=100)
    async with serving(FakeCore(), config=config) as edge, connected(edge) as wire:
        wire.send(sent)
        last_words = await wire.rest()

    assert last_words == b"" or (sent and last_words.startswith(b"HTTP/1.1 408 "))  # aiohttp says nothing


async def test_who_waits_for_100_continue_gets_it() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post(BODY, "Expect: 100-continue")[: -len(BODY)])
        first = (await wire.answer())[0]
        wire.send(BODY)

        assert (first, (await wire.answer())[0]) == (100, 200)


async def test_a_header_over_the_limit_is_refused() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post(BODY, "X-Long: " + "a" * 4000))

        assert (await wire.answer())[0] == (431 if isinstance(edge.server, Http1Server) else 400)  # aiohttp's own


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n"])
async def test_what_is_no_http_is_refused_and_harms_nobody(junk: bytes) -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire, connected(edge) as other:
        wire.send(junk)
        await wire.rest()
        other.send(post())

        assert (await other.answer())[0] == 200


async def test_a_smuggled_header_does_not_come_back() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post(BODY, "x-ms-client-request-id: a%0d%0aSet-Cookie: b"))
        headers = (await wire.answer())[1]

    assert "x-ms-client-request-id" not in headers
    assert "set-cookie" not in headers


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        status, headers, _ = await wire.answer(has_body=False)

        assert (status, headers["content-length"], await wire.rest()) == (200, "7", b"")


async def test_options_has_no_body_at_all() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(b"OPTIONS /score HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        status, headers, _ = await wire.answer()

        assert (status, "content-length" in headers, "content-type" in headers) == (204, False, False)
        assert await wire.rest() == b""


async def test_a_target_in_absolute_form_is_understood() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(b"GET http://localhost/?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert (await wire.answer())[2] == b"Healthy"


async def test_a_path_may_be_percent_encoded() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire:
        wire.send(b"GET /%68ealt%68 HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert (await wire.answer())[0] == 200


async def test_a_line_break_in_a_header_of_ours_is_never_sent() -> None:
    async def split(request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        return HttpResponse(200, b"", headers=[("x-name", "a\r\nSet-Cookie: b")])

    extra = [Route(method="GET", pattern="/split", handler=split, encode_error=partial(encode_score_error, "managed"))]
    async with serving(FakeCore(), config=CONFIG, extra=extra) as edge, connected(edge) as wire:
        wire.send(b"GET /split HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, headers, _ = await wire.answer()

    assert (status, "set-cookie" in headers) == (500, False)


async def test_a_large_answer_arrives_whole() -> None:
    number = Column(name="n", kind=Kind.FLOAT, datatype=BY_NAME["FP64"])
    core = FakeCore(rows=rows_of([number], *[(i + 0.5,) for i in range(200_000)]))
    async with serving(core, config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post())
        values = msgspec.json.decode((await wire.answer())[2])

    assert (len(values), values[-1]) == (200_000, 199_999.5)


async def test_a_client_that_goes_away_cancels_its_request() -> None:
    core = FakeCore(held=asyncio.Event())
    async with serving(core, config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post())
        async with asyncio.timeout(5):
            await core.started.wait()
            wire.close()
            await core.cancelled.wait()

    assert [(call, status) for call, status, _ in edge.done] == [(core.received[0], 499)]


@pytest.mark.parametrize("part", [5, len(post()) - 3])
async def test_a_client_that_leaves_in_mid_request_makes_no_noise(part: int, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as other:
        async with connected(edge) as wire:
            wire.send(post()[:part])
            other.send(post())
            await other.answer()
        async with asyncio.timeout(5):
            await edge.server.drain(2)

    assert caplog.records == []
    assert len(edge.done) == 1


async def test_a_drain_answers_what_is_in_flight_and_closes() -> None:
    core = FakeCore(held=asyncio.Event())
    async with serving(core, config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post())
        async with asyncio.timeout(5):
            await core.started.wait()
            drain = asyncio.create_task(edge.server.drain(2))
            await asyncio.sleep(0)
            assert core.held is not None
            core.held.set()
            await drain
        status, headers, body = await wire.answer()

        assert (status, headers["connection"], body) == (200, "close", b"[326.0]")
        assert await wire.rest() == b""


async def test_a_drain_answers_a_hundred_requests_in_flight() -> None:
    core = FakeCore(held=asyncio.Event())
    async with serving(core, config=CONFIG) as edge, asyncio.timeout(10):
        wires = [Wire(*await asyncio.open_connection("127.0.0.1", edge.port)) for _ in range(100)]
        for wire in wires:
            wire.send(post())
        for _ in wires:
            await core.arrivals.acquire()
        drain = asyncio.create_task(edge.server.drain(2))
        await asyncio.sleep(0)
        assert core.held is not None
        core.held.set()
        answers = [await wire.answer() for wire in wires]
        await drain
        for wire in wires:
            wire.close()

    assert [status for status, _, _ in answers] == [200] * 100


async def test_nobody_gets_in_during_a_drain() -> None:
    core = FakeCore(held=asyncio.Event())
    async with serving(core, config=CONFIG) as edge, connected(edge) as wire:
        port = edge.port
        wire.send(post())
        async with asyncio.timeout(5):
            await core.started.wait()
            drain = asyncio.create_task(edge.server.drain(2))
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            assert core.held is not None
            core.held.set()
            await drain


async def test_a_drain_ends_though_a_request_does_not() -> None:
    core = FakeCore(held=asyncio.Event())
    async with serving(core, config=CONFIG) as edge, connected(edge) as wire:
        wire.send(post())
        async with asyncio.timeout(5):
            await core.started.wait()
            await edge.server.drain(0.001)
            await core.cancelled.wait()

        assert await wire.rest() == b""


async def test_an_idle_connection_does_not_hold_up_a_drain() -> None:
    async with serving(FakeCore(), config=CONFIG) as edge, connected(edge) as wire, asyncio.timeout(5):
        wire.send(post())
        await wire.answer()
        await edge.server.drain(2)

        assert await wire.rest() == b""
