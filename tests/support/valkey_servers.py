"""Real servers in other arrangements than one alone: a cluster of three, a master with a replica and a Sentinel."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from feature_cache.embedded import EmbeddedOptions, EmbeddedStore, find_server, start_embedded
from tests.support.ports import free_ports

__all__ = ["Sentinels", "Server", "eventually", "paused", "start_cluster", "start_sentinel", "start_tcp"]


@dataclass(frozen=True, slots=True)
class Server:
    """One that listens on a port of this machine."""

    store: EmbeddedStore
    port: int

    def client(self) -> Redis:
        return Redis(port=self.port)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """A master ``main``, its replica, and the port of a Sentinel."""

    master: Server
    replica: Server
    port: int


async def eventually(is_so: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something is so that nothing tells of."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 — nothing tells when
            await asyncio.sleep(0.002)


@contextmanager
def paused(store: EmbeddedStore) -> Iterator[None]:
    """The server neither runs nor goes away."""
    process = store.pid
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@asynccontextmanager
async def start_tcp(folder: Path, *arguments: str, port: int | None = None) -> AsyncIterator[Server]:
    """A server on a port, besides its Unix socket."""
    port = port or free_ports(1)[0]
    options = EmbeddedOptions(arguments=("--port", str(port), "--bind", "127.0.0.1", *arguments))
    async with start_embedded(folder, options) as store:
        yield Server(store, port)


@asynccontextmanager
async def start_cluster(folder: Path) -> AsyncIterator[list[Server]]:
    """Three masters, a third of the slots each."""
    ports = free_ports(6)
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                start_tcp(
                    folder / str(port),
                    *("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000"),
                    *("--enable-debug-command", "local"),
                    port=port,
                )
            )
            for port, bus in zip(ports[:3], ports[3:], strict=True)
        ]
        clients: list[Any] = [await stack.enter_async_context(server.client()) for server in servers]
        for place, client in enumerate(clients):
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", place * 16384 // 3, (place + 1) * 16384 // 3 - 1)
            await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        for port, bus in zip(ports[1:3], ports[4:], strict=True):
            await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        async with asyncio.timeout(15):
            for client in clients:
                while b"cluster_state:ok" not in await _cluster_info(client):  # noqa: ASYNC110 — nothing tells when
                    await asyncio.sleep(0.02)
        yield servers


async def _cluster_info(client: Any) -> bytes:
    info = await client.execute_command("CLUSTER", "INFO")
    return info if isinstance(info, bytes) else "\n".join(f"{k}:{v}" for k, v in info.items()).encode()


@asynccontextmanager
async def start_sentinel(folder: Path) -> AsyncIterator[Sentinels]:
    """A Sentinel that knows both servers."""
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(start_tcp(folder / "master", "--repl-diskless-sync-delay", "0"))
        replica = await stack.enter_async_context(
            start_tcp(folder / "replica", "--replicaof", f"127.0.0.1 {master.port}")
        )
        # The Sentinel looks at a replica every ten seconds: what it sees first should be fit to be promoted.
        with SyncRedis(port=replica.port) as client:
            await eventually(lambda: client.role()[3] == b"connected")
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n"
        )
        process = subprocess.Popen(  # noqa: ASYNC220 — as the embedded server does
            [find_server(), config, "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        with SyncRedis(port=port) as client:
            await eventually(lambda: _has_good_replica(client))
        yield Sentinels(master, replica, port)


def _has_good_replica(sentinel: SyncRedis) -> bool:
    try:
        found = sentinel.sentinel_slaves("main")
    except RedisError:
        return False
    return any(each["master-link-status"] == "ok" for each in found)
