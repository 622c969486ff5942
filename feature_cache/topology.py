"""Which servers a store has, and which of them keeps a key; here: one server that is always the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from feature_cache.address import Address, StoreAddress
from feature_cache.node import Node
from feature_cache.resp import ReplyError

__all__ = ["MakeNode", "Standalone", "Topology"]

MakeNode = Callable[..., Node]
"""``(name, resolve=...)`` → a node that does not run yet."""


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
