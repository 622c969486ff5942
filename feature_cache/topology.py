"""Which servers a store has, and which of them keeps a key: one fixed server, or a master that Sentinels know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from feature_cache.address import Address, StoreAddress
from feature_cache.errors import Unavailable
from feature_cache.node import Node
from feature_cache.resp import ReplyError

__all__ = ["SentinelMaster", "Standalone", "Topology"]

MakeNode = Callable[..., Node]
"""``(name, resolve=...)`` → a node that does not run yet."""

_LOOK_AGAIN = 2.0
"""Seconds between asking the Sentinels who is master."""


class Topology(Protocol):
    """What a reader needs to know of the servers."""

    @property
    def nodes(self) -> Sequence[Node]:
        """Those that hold keys at the moment."""

    def node_for(self, key: bytes) -> Node | None:
        """Where this key is; None when that is not known at the moment."""

    def redirected(self, error: ReplyError) -> Node | None:
        """Where an answer MOVED or ASK sends us."""

    async def run(self, on_change: Callable[[], None]) -> None:
        """Keeps connections until cancelled. ``on_change`` is called when ``nodes`` has changed."""


class Standalone:
    """One server."""

    def __init__(self, address: StoreAddress, make_node: MakeNode) -> None:
        server = address.servers[0]

        async def resolve() -> Address:
            return server

        self._node = make_node(str(server), resolve=resolve)
        self.nodes: Sequence[Node] = (self._node,)

    def node_for(self, key: bytes) -> Node | None:  # noqa: ARG002 — one server has every key
        return self._node

    def redirected(self, error: ReplyError) -> Node | None:  # noqa: ARG002 — nobody sends us anywhere
        return None

    async def run(self, on_change: Callable[[], None]) -> None:
        on_change()
        await self._node.run()


class SentinelMaster(Standalone):
    """Of one name. Asked for before each connection and every two seconds; a new one ends what led to the old."""

    def __init__(
        self, address: StoreAddress, make_node: MakeNode, *, connect_timeout: float, sentinels: Sentinel | None = None
    ) -> None:
        self._master = address.master
        self._sentinels = sentinels or Sentinel(  # type: ignore[no-untyped-call]
            [(server.host, server.port) for server in address.servers],
            sentinel_kwargs={
                "socket_timeout": connect_timeout,
                "socket_connect_timeout": connect_timeout,
                "retry": Retry(NoBackoff(), 0),  # whoever asks tries again, with pauses of its own
            },
        )
        self._node = make_node(f"master {self._master}", resolve=self._resolve)
        self.nodes = (self._node,)

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
