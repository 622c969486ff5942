"""The cases of gRPC's interoperability tests, between grpcio and h2grpc both ways and h2grpc alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

import h2grpc
from h2grpc import answering, client_protocol, compression, incoming
from tests.h2grpc.alarm import alarm  # noqa: F401
from tests.h2grpc.interop.pair import Generated, Pair, channel_to, serve
from tests.h2grpc.interop.servicer import INITIAL_KEY, TRAILING_KEY

LARGE_REQUEST = 271_828
LARGE_RESPONSE = 314_159
SIZES = (31_415, 9, 2_653, 58_979)
REQUEST_SIZES = (27_182, 8, 1_828, 45_904)

RpcErrors = (grpc.aio.AioRpcError, h2grpc.RpcError)


def outcome(error: Any) -> tuple[str, str]:
    """Both libraries' codes have the same names."""
    return error.code().name, error.details()


def unary(pair: Pair, **fields: Any) -> Any:
    body = pair.pb.Payload(body=bytes(LARGE_REQUEST))
    return pair.pb.SimpleRequest(response_size=LARGE_RESPONSE, payload=body, **fields)


def output(pair: Pair, *sizes: int, payload: int = 0, **fields: Any) -> Any:
    parameters = [pair.pb.ResponseParameters(size=size) for size in sizes]
    body = pair.pb.Payload(body=bytes(payload))
    return pair.pb.StreamingOutputCallRequest(response_parameters=parameters, payload=body, **fields)


def held(pair: Pair) -> Any:
    return pair.pb.StreamingOutputCallRequest(response_parameters=[pair.pb.ResponseParameters(held=True)])


async def test_empty_unary(pair: Pair) -> None:
    assert await pair.stub.EmptyCall(pair.pb.Empty()) == pair.pb.Empty()


async def test_large_unary(pair: Pair) -> None:
    response = await pair.stub.UnaryCall(unary(pair))

    assert response.payload.body == bytes(LARGE_RESPONSE)


async def test_very_large_unary(pair: Pair) -> None:
    body = pair.pb.Payload(body=bytes(64 << 20))
    response = await pair.stub.UnaryCall(pair.pb.SimpleRequest(response_size=64 << 20, payload=body))

    assert len(response.payload.body) == 64 << 20


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_client_compressed_unary(pair: Pair, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used = watch(monkeypatch)
    async with channel_to(pair.client_library, pair.address, algorithm) as channel:
        response = await pair.stubs.TestServiceStub(channel).UnaryCall(unary(pair))

    assert len(response.payload.body) == LARGE_RESPONSE
    assert algorithm in used


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_server_compressed_unary(pair: Pair, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used = watch(monkeypatch)
    address = f"{pair.address}-compressed"
    server = await serve(pair.server_library, Generated(pair.pb, pair.stubs), pair.servicer, address, algorithm)
    async with channel_to(pair.client_library, address) as channel:
        response = await pair.stubs.TestServiceStub(channel).UnaryCall(unary(pair))
    await server.stop(None)

    assert len(response.payload.body) == LARGE_RESPONSE
    assert algorithm in used


async def test_one_answer_compressed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    if pair.server_library == "grpcio":
        pytest.skip("grpc.aio's server does not do what set_compression asks for")
    used = watch(monkeypatch)
    response = await pair.stub.UnaryCall(unary(pair, response_compressed=True))

    assert len(response.payload.body) == LARGE_RESPONSE
    assert "gzip" in used


async def test_client_streaming(pair: Pair) -> None:
    async def requests() -> AsyncIterator[Any]:
        for size in REQUEST_SIZES:
            yield pair.pb.StreamingInputCallRequest(payload=pair.pb.Payload(body=bytes(size)))

    response = await pair.stub.StreamingInputCall(requests())

    assert response.aggregated_payload_size == 74_922


async def test_client_streaming_with_write_and_done_writing(pair: Pair) -> None:
    call = pair.stub.StreamingInputCall()
    for size in REQUEST_SIZES:
        await call.write(pair.pb.StreamingInputCallRequest(payload=pair.pb.Payload(body=bytes(size))))
    await call.done_writing()

    assert (await call).aggregated_payload_size == 74_922


async def test_server_streaming(pair: Pair) -> None:
    call = pair.stub.StreamingOutputCall(output(pair, *SIZES))

    assert [len(response.payload.body) async for response in call] == list(SIZES)
    assert (await call.code()).name == "OK"


async def test_ping_pong(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall()
    got = []
    for request, response in zip(REQUEST_SIZES, SIZES, strict=True):
        await call.write(output(pair, response, payload=request))
        got.append(len((await call.read()).payload.body))
    await call.done_writing()

    assert got == list(SIZES)
    assert await call.read() is grpc.aio.EOF or await call.read() is h2grpc.EOF
    assert (await call.code()).name == "OK"


async def test_ping_pong_with_iterators(pair: Pair) -> None:
    async def requests() -> AsyncIterator[Any]:
        for size in SIZES:
            yield output(pair, size)

    got = [len(response.payload.body) async for response in pair.stub.FullDuplexCall(requests())]

    assert got == list(SIZES)


async def test_empty_stream(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall()
    await call.done_writing()

    assert [response async for response in call] == []
    assert (await call.code()).name == "OK"


async def test_timeout_on_sleeping_server(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall(timeout=0.3)
    await call.write(held(pair))
    with pytest.raises(RpcErrors) as caught:
        await call.read()

    assert outcome(caught.value)[0] == "DEADLINE_EXCEEDED"


async def test_timeout_of_a_unary_stream(pair: Pair) -> None:
    with pytest.raises(RpcErrors) as caught:
        async for _ in pair.stub.StreamingOutputCall(held(pair), timeout=0.05):
            pass

    assert outcome(caught.value)[0] == "DEADLINE_EXCEEDED"


async def test_cancel_after_begin(pair: Pair) -> None:
    call = pair.stub.StreamingInputCall()
    await call.write(pair.pb.StreamingInputCallRequest())
    await pair.servicer.began.wait()

    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await call.code()).name == "CANCELLED"
    await pair.servicer.ended.wait()


async def test_cancel_after_first_response(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall()
    await call.write(output(pair, 31_415, payload=27_182))
    first = await call.read()

    assert len(first.payload.body) == 31_415
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert (await call.code()).name == "CANCELLED"


async def test_custom_metadata_of_a_unary_call(pair: Pair) -> None:
    call = pair.stub.UnaryCall(unary(pair), metadata=((INITIAL_KEY, "value 1"), (TRAILING_KEY, b"\xab\xab\xab")))
    await call

    assert dict(await call.initial_metadata())[INITIAL_KEY] == "value 1"
    assert dict(await call.trailing_metadata())[TRAILING_KEY] == b"\xab\xab\xab"


async def test_custom_metadata_of_a_stream(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall(metadata=((INITIAL_KEY, "value 1"), (TRAILING_KEY, b"\xab\xab\xab")))
    await call.write(output(pair, 314_159, payload=271_828))
    await call.done_writing()
    got = [len(response.payload.body) async for response in call]

    assert got == [314_159]
    assert dict(await call.initial_metadata())[INITIAL_KEY] == "value 1"
    assert dict(await call.trailing_metadata())[TRAILING_KEY] == b"\xab\xab\xab"


async def test_status_code_and_message_of_a_unary_call(pair: Pair) -> None:
    status = pair.pb.EchoStatus(code=2, message="test status message")
    with pytest.raises(RpcErrors) as caught:
        await pair.stub.UnaryCall(pair.pb.SimpleRequest(response_status=status))

    assert outcome(caught.value) == ("UNKNOWN", "test status message")


async def test_status_code_and_message_of_a_stream(pair: Pair) -> None:
    status = pair.pb.EchoStatus(code=2, message="test status message")
    call = pair.stub.FullDuplexCall()
    await call.write(pair.pb.StreamingOutputCallRequest(response_status=status))
    with pytest.raises(RpcErrors) as caught:
        await call.read()

    assert outcome(caught.value) == ("UNKNOWN", "test status message")


@pytest.mark.parametrize("code", [code.value[0] for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_status_arrives_as_it_was_sent(pair: Pair, code: int) -> None:
    status = pair.pb.EchoStatus(code=code, message="so it is")
    with pytest.raises(RpcErrors) as caught:
        await pair.stub.UnaryCall(pair.pb.SimpleRequest(response_status=status))

    assert outcome(caught.value) == (h2grpc.Status(code).name, "so it is")


async def test_special_status_message(pair: Pair) -> None:
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    with pytest.raises(RpcErrors) as caught:
        await pair.stub.UnaryCall(pair.pb.SimpleRequest(response_status=pair.pb.EchoStatus(code=2, message=message)))

    assert outcome(caught.value) == ("UNKNOWN", message)


async def test_unimplemented_method(pair: Pair) -> None:
    with pytest.raises(RpcErrors) as caught:
        await pair.stub.UnimplementedCall(pair.pb.Empty())

    assert outcome(caught.value)[0] == "UNIMPLEMENTED"


async def test_unimplemented_service(pair: Pair) -> None:
    with pytest.raises(RpcErrors) as caught:
        await pair.stubs.UnimplementedServiceStub(pair.channel).UnimplementedCall(pair.pb.Empty())

    assert outcome(caught.value)[0] == "UNIMPLEMENTED"


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which algorithms our side of the pair works with, whichever side that is."""
    used: list[str] = []

    def compress(algorithm: str, message: bytes) -> bytes:
        used.append(algorithm)
        return compression.compress(algorithm, message)

    def decompress(algorithm: str, data: bytes, limit: int) -> bytes:
        used.append(algorithm)
        return compression.decompress(algorithm, data, limit)

    monkeypatch.setattr(incoming, "decompress", decompress)
    monkeypatch.setattr(client_protocol, "compress", compress)
    monkeypatch.setattr(answering, "compress", compress)
    return used
