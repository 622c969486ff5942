"""The servicer of the interoperability tests: written for grpc.aio, run unchanged on every server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import grpc

__all__ = ["INITIAL_KEY", "TRAILING_KEY", "servicer"]

INITIAL_KEY = "x-grpc-test-echo-initial"
TRAILING_KEY = "x-grpc-test-echo-trailing-bin"

CODES = {code.value[0]: code for code in grpc.StatusCode}


def servicer(pb: ModuleType, stubs: ModuleType) -> Any:
    """The classes are generated when the tests run, so the servicer is made from them."""

    class TestServicer(stubs.TestServiceServicer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.began = asyncio.Event()
            """Some handler of a stream reads."""
            self.ended = asyncio.Event()
            """It reads no more. On grpc.aio a handler whose caller left may see an end before it is cancelled."""
            self.running = 0

        async def EmptyCall(self, request: Any, context: Any) -> Any:
            await echo_metadata(context)
            return pb.Empty()

        async def UnaryCall(self, request: Any, context: Any) -> Any:
            await echo_metadata(context)
            await end_as_told(request, context)
            if request.response_compressed:
                context.set_compression(grpc.Compression.Gzip)
            return pb.SimpleResponse(payload=pb.Payload(body=bytes(request.response_size)))

        async def StreamingInputCall(self, requests: AsyncIterator[Any], context: Any) -> Any:
            size = 0
            self.running += 1
            self.began.set()
            try:
                async for request in requests:
                    size += len(request.payload.body)
            finally:
                self.running -= 1
                self.ended.set()
            return pb.StreamingInputCallResponse(aggregated_payload_size=size)

        async def StreamingOutputCall(self, request: Any, context: Any) -> AsyncIterator[Any]:
            async for response in self.answer(request, context):
                yield response

        async def FullDuplexCall(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            await echo_metadata(context)
            async for request in requests:
                async for response in self.answer(request, context):
                    yield response

        async def answer(self, request: Any, context: Any) -> AsyncIterator[Any]:
            await end_as_told(request, context)
            self.running += 1
            try:
                for parameters in request.response_parameters:
                    if parameters.held:
                        await asyncio.Event().wait()
                    yield pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(parameters.size)))
            finally:
                self.running -= 1

    return TestServicer()


async def echo_metadata(context: Any) -> None:
    given = dict(context.invocation_metadata() or ())
    if INITIAL_KEY in given:
        await context.send_initial_metadata(((INITIAL_KEY, given[INITIAL_KEY]),))
    if TRAILING_KEY in given:
        context.set_trailing_metadata(((TRAILING_KEY, given[TRAILING_KEY]),))


async def end_as_told(request: Any, context: Any) -> None:
    if request.HasField("response_status"):
        await context.abort(CODES[request.response_status.code], request.response_status.message)
