"""
A master that Sentinels know by a name.

They are asked before each connection and every two seconds, so that a failover is noticed even while the old master
still answers: it may go on doing so for ten seconds, and tells of no change any more. The Sentinels are asked without
TLS and without a password. Loaded only by who has Sentinels, because redis-py takes its time to load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from feature_cache.address import Address, StoreAddress
from feature_cache.errors import Unavailable
from feature_cache.node import Node
from feature_cache.resp import ReplyError
from feature_cache.topology import MakeNode

__all__ = ["SentinelMaster"]

_LOOK_AGAIN = 2.0


class SentinelMaster:
    """A ``Topology`` of one node, which moves. ``timeout`` is for one Sentinel's answer, in seconds."""

    def __init__(self, address: StoreAddress, make_node: MakeNode, *, timeout: float) -> None:
        self._master = address.master
        self._sentinels = Sentinel(  # type: ignore[no-untyped-call]
            [(server.host, server.port) for server in address.servers],
            sentinel_kwargs={
                "socket_timeout": timeout,
                "socket_connect_timeout": timeout,
                "retry": Retry(NoBackoff(), 0),  # whoever asks tries again, with pauses of its own
            },
        )
        self._node = make_node(f"master {self._master}", resolve=self._resolve)
        self.nodes: Sequence[Node] = (self._node,)

    def node_for(self, key: bytes) -> Node | None:  # noqa: ARG002 — one server has every key
        return self._node

    def redirected(self, error: ReplyError) -> Node | None:  # noqa: ARG002 — nobody sends us anywhere
        return None

    async def run(self, on_change: Callable[[], None]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                on_change()
                tasks.create_task(self._node.run())
                tasks.create_task(self._look())
        finally:
            for sentinel in self._sentinels.sentinels:
                await sentinel.aclose()

    async def _resolve(self) -> Address:
        try:
            host, port = await self._sentinels.discover_master(self._master)
        except (RedisError, OSError) as error:
            raise Unavailable(f"no Sentinel names a master {self._master}") from error
        return Address(host, port)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            try:
                self._node.move(await self._resolve())
            except Unavailable:
                continue
