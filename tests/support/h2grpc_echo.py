"""A servicer of raw bytes with all four kinds of call, made of grpcio's own handler objects, for tests of h2grpc."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

import h2grpc

__all__ = ["EchoServicer", "add_echo"]


class EchoServicer:
    """Remembers what became of its handlers; ``release`` lets those that wait go on."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.running = 0
        self.crowd, self.is_crowded = 0, asyncio.Event()
        """``is_crowded`` once so many wait."""
        self.contexts: list[Any] = []
        self.written = 0

    async def echo(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        return request

    async def wait(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        self.running += 1
        self.started.set()
        if self.running == self.crowd:
            self.is_crowded.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.running -= 1
        return request

    async def abort(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("reason", "test"), ("detail-bin", b"\x00\xff")))
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.decode())
        return b"never"

    async def crash(self, request: bytes, context: Any) -> bytes:
        raise ValueError("a secret")

    async def set_code(self, request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.DATA_LOSS)
        context.set_details("lost")
        return request

    async def headers(self, request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata([("early", "yes"), ("early-bin", b"\x01")])
        context.set_trailing_metadata([("late", "yes")])
        seen = sorted((key, value) for key, value in context.invocation_metadata() if key.startswith("x-"))
        return repr(seen).encode()

    async def peer(self, request: bytes, context: Any) -> bytes:
        left = context.time_remaining()
        return repr((context.peer(), context.peer_identities(), left is not None and left > 0)).encode()

    async def split(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.contexts.append(context)
        for byte in request:
            yield bytes([byte])

    async def drip(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """As ``pour``, as a generator."""
        self.started.set()
        try:
            while True:
                yield b"\0" * int(request)
        finally:
            self.cancelled.set()

    async def pour(self, request: bytes, context: Any) -> None:
        """Writes blocks of the size asked for, for as long as it is let."""
        self.contexts.append(context)
        self.started.set()
        try:
            while True:
                await context.write(b"\0" * int(request))
                self.written += int(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([part async for part in requests])

    async def chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self.contexts.append(context)
        self.started.set()
        async for part in requests:
            yield part.upper()

    async def read_write(self, requests: AsyncIterator[bytes], context: Any) -> None:
        while (part := await context.read()) is not grpc.aio.EOF:
            await context.write(part)

    async def idle(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """Reads nothing until it is let, then everything."""
        self.started.set()
        await self.release.wait()
        return str(sum([len(part) async for part in requests])).encode()


def add_echo(servicer: EchoServicer, server: h2grpc.Server | grpc.aio.Server) -> None:
    unary = ("echo", "wait", "abort", "crash", "set_code", "headers", "peer")
    handlers: dict[str, Any] = {name: grpc.unary_unary_rpc_method_handler(getattr(servicer, name)) for name in unary}
    for name in ("split", "pour", "drip"):
        handlers[name] = grpc.unary_stream_rpc_method_handler(getattr(servicer, name))
    for name in ("join", "idle"):
        handlers[name] = grpc.stream_unary_rpc_method_handler(getattr(servicer, name))
    for name in ("chat", "read_write"):
        handlers[name] = grpc.stream_stream_rpc_method_handler(getattr(servicer, name))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Echo", handlers),))
