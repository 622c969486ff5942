"""A gateway's and a worker's ends of mutual TLS over TCP, joined as they are in production."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trustme

from gateway.core.errors import ConfigError
from gateway.pool.config import PoolConfig
from gateway.pool.pool import Pool
from gateway.pool.transport import RPC_ERRORS, connect, describe, open_stream
from tests.support.scripted_runtime import loaded
from tests.support.worker_process import batch, free_address, numbers
from workers.codec import BatchCodec
from workers.codec import describe as facts_of
from workers.inbox import Inbox
from workers.lifecycle import Lifecycle, State
from workers.server import ServeError, Server, WorkerServicer
from workers.wire.v1 import worker_pb2 as wire

CONFIG = PoolConfig()


@pytest.fixture(autouse=True)
async def limit() -> AsyncIterator[None]:
    async with asyncio.timeout(30):
        yield


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def worker_side(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def gateway_side(ca: trustme.CA, signer: trustme.CA | None = None) -> ssl.SSLContext:
    """Trusts ``ca``, and shows a certificate of ``signer`` if there is one."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if signer is not None:
        signer.issue_cert("gateway.test").configure_cert(context)
    return context


class Worker:
    """A worker's server whose model doubles nothing: replies are made by hand."""

    def __init__(self, tls: ssl.SSLContext | None, engine: str = "h2grpc") -> None:
        self.address = free_address()
        self.inbox = Inbox(8)
        self.server = Server(self.address, self._servicer, engine, tls=tls)  # type: ignore[arg-type]

    def _servicer(self) -> WorkerServicer:
        lifecycle = Lifecycle(lambda _: None)
        lifecycle.move(State.READY)
        return WorkerServicer(
            codec=BatchCodec(loaded()),
            inbox=self.inbox,
            at_once=lambda _job: None,
            lifecycle=lifecycle,
            description=facts_of(loaded()),
            drain=lambda _: None,
        )


@pytest.fixture
def worker(ca: trustme.CA) -> Iterator[Worker]:
    worker = Worker(worker_side(ca))
    worker.server.start()
    yield worker
    worker.server.stop(0)


@asynccontextmanager
async def refused(worker: Worker, tls: ssl.SSLContext | None) -> AsyncIterator[pytest.ExceptionInfo[Exception]]:
    async with connect(worker.address, CONFIG, tls) as channel:
        with pytest.raises(RPC_ERRORS) as error:
            await describe(channel, 10)
        yield error


async def test_a_gateway_with_the_right_certificate_is_told_what_the_model_is(ca: trustme.CA, worker: Worker) -> None:
    async with connect(worker.address, CONFIG, gateway_side(ca, ca)) as channel:
        description = await describe(channel, 10)

    assert description.inputs[0].datatype == "INT64"


async def test_batches_go_over_mutual_tls_both_ways(ca: trustme.CA, worker: Worker) -> None:
    async with connect(worker.address, CONFIG, gateway_side(ca, ca)) as channel:
        stream = open_stream(channel)
        await stream.read()
        await stream.write(batch(7, 1, 2).SerializeToString())
        job = await asyncio.to_thread(worker.inbox.take, 10)
        assert job is not None
        job.stream.post(wire.Reply(id=job.id, rows=2, records=batch(7, 3, 4).records))
        reply = wire.Reply.FromString(await stream.read())

    assert (reply.id, numbers(reply)) == (7, [3, 4])


async def test_a_gateway_without_a_certificate_is_turned_away(ca: trustme.CA, worker: Worker) -> None:
    async with refused(worker, gateway_side(ca)) as error:
        assert error.value.code().name == "UNAVAILABLE"  # type: ignore[attr-defined]


async def test_a_gateway_with_a_certificate_that_a_stranger_signed_is_turned_away(
    ca: trustme.CA, worker: Worker
) -> None:
    async with refused(worker, gateway_side(ca, trustme.CA())) as error:
        assert error.value.code().name == "UNAVAILABLE"  # type: ignore[attr-defined]


async def test_a_gateway_does_not_talk_to_a_worker_that_it_does_not_trust(ca: trustme.CA, worker: Worker) -> None:
    async with refused(worker, gateway_side(trustme.CA(), ca)) as error:
        assert "CERTIFICATE_VERIFY_FAILED" in error.value.details()  # type: ignore[attr-defined]


async def test_a_gateway_in_clear_text_is_turned_away(worker: Worker) -> None:
    async with refused(worker, None) as error:
        assert error.value.code().name == "UNAVAILABLE"  # type: ignore[attr-defined]


async def test_one_that_was_turned_away_does_not_keep_others_out(ca: trustme.CA, worker: Worker) -> None:
    async with refused(worker, gateway_side(ca)), connect(worker.address, CONFIG, gateway_side(ca, ca)) as channel:
        assert (await describe(channel, 10)).inputs


def test_a_worker_does_not_listen_with_tls_that_lets_everybody_in(ca: trustme.CA) -> None:
    tls = worker_side(ca)
    tls.verify_mode = ssl.CERT_OPTIONAL

    with pytest.raises(ServeError, match="asks for a certificate"):
        Worker(tls).server.start()


def test_a_worker_on_grpcio_does_not_listen_in_clear_text_instead(ca: trustme.CA) -> None:
    with pytest.raises(ServeError, match="engine h2grpc"):
        Worker(worker_side(ca), "grpcio").server.start()


def test_a_pool_on_grpcio_refuses_tls_instead_of_leaving_it_out(ca: trustme.CA) -> None:
    with pytest.raises(ConfigError, match="grpc_engine"):
        Pool("e/d", ["127.0.0.1:1"], PoolConfig(grpc_engine="grpcio"), tls=gateway_side(ca, ca))
