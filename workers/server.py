"""
The gRPC side of a worker: its own thread with its own event loop, so that a model that computes never delays a read.

Handlers are ordinary asynchronous servicers: they read the request iterator, yield replies and return messages. They
touch nothing else of the engine but two shortcuts, ``listen`` and ``write_nowait``, where it has them (``h2grpc``): a
batch then goes to the model's thread in the turn of the loop in which it arrives, and its reply leaves in the turn in
which it comes back. Batches are decoded and checked here and handed over through the inbox, or scored here where that
is quicker (``workers.scoring``); a reply leaves on the ``Stream`` that sent its batch.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Literal

import grpc
import grpc.aio
import structlog
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # has no stubs

from workers.codec import BatchCodec, failed, stated
from workers.inbox import Inbox, Job
from workers.lifecycle import Lifecycle, State
from workers.runtimes.base import BatchInvalid
from workers.stream import Stream
from workers.wire.v1 import worker_pb2 as wire
from workers.wire.v1 import worker_pb2_grpc

__all__ = ["ServeError", "Server", "WorkerServicer"]

log = structlog.get_logger()

MAX_MESSAGE = 256 << 20
"""Bytes of one batch or reply; the gateway's own limits are far below."""

_SERVICE = "lockgate.workers.v1.Worker"
_START = 10.0
"""Seconds in which the address must be listening."""
_STOP = 1.0
"""Seconds for streams to take what was already answered; whoever watches the health service is cut off then."""


_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.so_reuseport", 0),  # two workers on one port must be an error, not a lottery
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
)


class ServeError(Exception):
    """The address cannot be listened on."""


class WorkerServicer(worker_pb2_grpc.WorkerServicer):
    """``lockgate.workers.v1.Worker``; see worker.proto. Lives on the loop's thread."""

    def __init__(
        self,
        *,
        codec: BatchCodec,
        inbox: Inbox,
        at_once: Callable[[Job], wire.Reply | None],
        lifecycle: Lifecycle,
        description: wire.Description,
        drain: Callable[[float], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._codec, self._inbox, self._at_once, self._lifecycle = codec, inbox, at_once, lifecycle
        self._description, self._drain, self._clock = description, drain, clock
        self._streams: set[Stream] = set()
        self._drained = asyncio.Event()
        self._unfinished = 0

    async def Score(
        self, request_iterator: AsyncIterator[wire.Batch], context: Any
    ) -> AsyncGenerator[wire.Reply, None]:
        stream = Stream(asyncio.get_running_loop(), getattr(context, "write_nowait", _never))
        stream.send(stated(self._lifecycle.state))
        self._streams.add(stream)
        if (listen := getattr(context, "listen", None)) is not None:
            listen(partial(self._accept, stream))  # and what is left to read is the end
        reader = asyncio.create_task(self._read(request_iterator, stream), name="read batches")
        reader.add_done_callback(lambda _: stream.finish())  # at the gateway's last batch, or if reading fails
        try:
            while (reply := await stream.next()) is not None:
                yield reply
        finally:
            self._streams.discard(stream)
            stream.close()
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader

    async def Describe(self, _request: wire.DescribeRequest, _context: Any) -> wire.Description:
        return self._description

    async def Drain(self, request: wire.DrainRequest, _context: Any) -> wire.DrainReply:
        self._drain(request.grace_ms / 1000)
        await self._drained.wait()  # bounded by the grace: the model's loop ends with it
        return wire.DrainReply(unfinished=self._unfinished)

    def announce(self, state: State) -> None:
        """Tell every stream."""
        for stream in self._streams:
            stream.send(stated(state))

    def finish(self, unfinished: int) -> None:
        """The model's loop has ended: end every stream, answer whoever asked to drain."""
        self._unfinished = unfinished
        self._drained.set()
        for stream in self._streams:
            stream.finish()

    async def _read(self, batches: AsyncIterator[wire.Batch], stream: Stream) -> None:
        async for message in batches:
            self._accept(stream, message)

    def _accept(self, stream: Stream, message: wire.Batch) -> None:
        """Never raises: it may run in the middle of the engine."""
        received = self._clock()
        try:
            batch = self._codec.decode(message)
        except BatchInvalid as error:
            stream.send(failed(message.id, wire.Failure.INVALID, str(error)))
            return
        budget_ms = message.budget_ms
        deadline = received + budget_ms / 1000 if budget_ms else None
        job = Job(message.id, batch, stream, deadline)
        stream.unanswered += 1
        if (reply := self._at_once(job)) is not None:
            stream.answer(reply)
        elif not self._inbox.put(job):
            stream.answer(failed(message.id, wire.Failure.REFUSED, "the worker takes no more batches"))


class Server:
    """Runs a ``WorkerServicer`` and the health service on a thread of its own."""

    def __init__(
        self,
        address: str,
        servicer: Callable[[], WorkerServicer],
        engine: Literal["h2grpc", "grpcio"] = "h2grpc",
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``tls`` is for TCP and insists on a certificate of gateways; only h2grpc takes it."""
        self._address, self._make, self._engine_name, self._tls = address, servicer, engine, tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event
        self._servicer: WorkerServicer
        self._health: health.aio.HealthServicer
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def start(self) -> None:
        """Listen; raises ``ServeError``."""
        self._thread.start()
        try:
            self._started.result(timeout=_START)
        except TimeoutError as error:
            raise ServeError(f"{self._address}: not listening after {_START:.0f} s") from error

    def announce(self, state: State) -> None:
        """Tell every stream and the health service; from any thread. Before ``start`` nobody listens."""
        if self._loop is not None:
            with suppress(RuntimeError):  # stopped already
                self._loop.call_soon_threadsafe(self._announce, state)

    def stop(self, unfinished: int) -> None:
        """End the streams in order, then the server; waits for both, but not for ever."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._finish, unfinished)
        self._thread.join(_STOP + 1)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = _engine(self._engine_name, _OPTIONS)
        self._servicer = self._make()
        self._health = health.aio.HealthServicer()
        worker_pb2_grpc.add_WorkerServicer_to_server(self._servicer, server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        try:
            self._listen(server)
            await server.start()
        except (RuntimeError, ServeError) as error:
            self._started.set_exception(ServeError(f"{self._address}: cannot be listened on: {error}"))
            return
        self._started.set_result(None)
        await self._stop.wait()
        await server.stop(grace=_STOP)

    def _listen(self, server: Any) -> None:
        if self._tls is None or self._address.startswith("unix:"):
            port = server.add_insecure_port(self._address)
        elif isinstance(server, grpc.aio.Server):
            raise ServeError("TLS needs the engine h2grpc, and ngh2 installed")
        elif self._tls.verify_mode is not ssl.CERT_REQUIRED:
            raise ServeError("expected TLS that asks for a certificate: whoever connects may send work and drain")
        else:
            port = server.add_secure_port(self._address, self._tls)
        if port == 0:
            raise ServeError("the port is taken")

    def _announce(self, state: State) -> None:
        self._servicer.announce(state)
        if state is State.DRAINING:
            self._leaving = asyncio.get_running_loop().create_task(
                self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING), name="health"
            )

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for service in ("", _SERVICE):
            await self._health.set(service, status)

    def _finish(self, unfinished: int) -> None:
        self._servicer.finish(unfinished)
        self._stop.set()


def _never(_reply: wire.Reply) -> bool:
    """For engines without the shortcut."""
    return False


def _engine(name: str, options: Sequence[tuple[str, int]]) -> Any:
    """A server of that engine, or of grpc.aio where ngh2 cannot be imported; they offer the same methods."""
    if name == "h2grpc":
        try:
            import h2grpc

            return h2grpc.server(options=options)
        except ImportError:
            log.warning("worker.grpcio_instead_of_h2grpc")
    return grpc.aio.server(options=list(options))
