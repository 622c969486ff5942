"""
A cluster: which of its nodes keeps which of the 16384 slots, and where the slots are when they move.

The map is read from any node that answers: at the start, when a node says MOVED, when one is lost, and every so often.
A node that is new in it gets connections, one that has left it loses them. Keys are read from masters only.
"""

from __future__ import annotations

import asyncio
from binascii import crc_hqx
from collections.abc import Callable, Sequence

import structlog

from feature_cache.address import Address, StoreAddress
from feature_cache.dial import Dialer
from feature_cache.errors import StoreRefused, Unavailable
from feature_cache.node import Node
from feature_cache.resp import Reply, ReplyError
from feature_cache.topology import MakeNode

__all__ = ["Cluster", "read_slots", "slot_of"]

log = structlog.get_logger()

SLOTS = 16384
_LOOK_AGAIN = 15.0
_PAUSE = 0.1
"""Seconds between two looks at least, however many answers say MOVED."""


def slot_of(key: bytes) -> int:
    """CRC-16 (XMODEM) of the key, or of what its first braces hold if that is not empty."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def read_slots(reply: Reply, asked: Address) -> list[tuple[int, int, Address]]:
    """First slot, last slot and master of an answer to CLUSTER SLOTS. An empty host is the one that was asked."""
    try:
        return [
            (first, last, Address(master[0].decode() if master[0] else asked.host, int(master[1])))
            for first, last, master, *_ in reply
        ]
    except (TypeError, ValueError, AttributeError, IndexError):
        raise Unavailable(f"{asked}: expected an answer to CLUSTER SLOTS") from None


class Cluster:
    """Runs its nodes itself, because they come and go."""

    def __init__(self, address: StoreAddress, make_node: MakeNode, dialer: Dialer) -> None:
        self._seeds = address.servers
        self._make_node = make_node
        self._dialer = dialer
        self._by_address: dict[Address, Node] = {}
        self._running: dict[Address, asyncio.Task[None]] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._look_now = asyncio.Event()
        self._told = False

    @property
    def nodes(self) -> Sequence[Node]:
        return tuple(self._by_address.values())

    def node_for(self, key: bytes) -> Node | None:
        node = self._slots[slot_of(key)]
        if node is None or not node.is_up:
            self._look_now.set()
        return node

    def redirected(self, error: ReplyError) -> Node | None:
        words = str(error).split()
        host, _, port = words[-1].rpartition(":")
        if len(words) != 3 or not port.isdecimal():
            return None
        if error.code == "MOVED":
            self._look_now.set()
        return next(
            (
                node
                for address, node in self._by_address.items()
                if address.port == int(port) and (not host or address.host == host)
            ),
            None,
        )

    async def run(self, on_change: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._look_now.clear()
                await self._look(tasks, on_change)
                await asyncio.sleep(_PAUSE)
                try:
                    async with asyncio.timeout(_LOOK_AGAIN):
                        await self._look_now.wait()
                except TimeoutError:
                    continue

    async def _look(self, tasks: asyncio.TaskGroup, on_change: Callable[[], None]) -> None:
        for address in (*self._by_address, *self._seeds):
            try:
                ranges = await self._ask(address)
            except (Unavailable, StoreRefused) as error:
                reason = str(error)
                continue
            self._told = False
            self._settle(ranges, tasks, on_change)
            return
        self._look_now.set()
        if not self._told:
            self._told = True
            log.warning("features.no_cluster", error=reason)

    async def _ask(self, address: Address) -> list[tuple[int, int, Address]]:
        connection, _ = await self._dialer.dial(address)
        try:
            return read_slots(await connection.ask("CLUSTER", "SLOTS", timeout=self._dialer.timeout), address)
        finally:
            connection.close()

    def _settle(
        self, ranges: list[tuple[int, int, Address]], tasks: asyncio.TaskGroup, on_change: Callable[[], None]
    ) -> None:
        """Make the nodes those of the map."""
        masters = {address for _, _, address in ranges}
        has_changed = masters != self._by_address.keys()
        for address in self._by_address.keys() - masters:
            self._by_address.pop(address)
            self._running.pop(address).cancel()
        for address in sorted(masters - self._by_address.keys(), key=str):
            node = self._make_node(str(address), resolve=_always(address))
            self._by_address[address] = node
            self._running[address] = tasks.create_task(node.run())
        slots: list[Node | None] = [None] * SLOTS
        for first, last, address in ranges:
            slots[first : last + 1] = [self._by_address[address]] * (last + 1 - first)
        moved = has_changed or slots != self._slots
        self._slots = slots
        if moved:
            on_change()


def _always(address: Address) -> Callable[[], object]:
    async def resolve() -> Address:
        return address

    return resolve
