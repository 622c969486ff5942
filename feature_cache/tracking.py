"""
How the local copy hears of changes: ``CLIENT TRACKING ON BCAST`` on a connection of its own to every server.

In broadcast mode the server keeps no list of who has read what; it tells of every changed key that begins with one of
our prefixes. A connection of its own, because a lost one means that changes may have been missed: then the copy is
set aside at once, and used again only when all servers tell of changes again. A server that went silent without
closing the connection is found by PING.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NoReturn

import structlog

from feature_cache.backoff import Backoff
from feature_cache.errors import StoreRefused, Unavailable
from feature_cache.node import Node
from feature_cache.resp import Push
from feature_cache.settings import StoreSettings
from feature_cache.watch import watch

__all__ = ["Tracking", "least_prefixes"]

log = structlog.get_logger()


class Tracking:
    """
    Of all servers of one store.

    ``on_changed`` gets keys, or None for all of them; ``on_told`` whether every change is told at the moment.
    """

    def __init__(
        self,
        prefixes: Iterable[bytes],
        settings: StoreSettings,
        *,
        on_changed: Callable[[list[bytes] | None], None],
        on_told: Callable[[bool], None],
        random: Callable[[], float],
    ) -> None:
        self._prefixes = least_prefixes(prefixes)
        self._settings = settings
        self._on_changed, self._on_told, self._random = on_changed, on_told, random
        self._nodes: tuple[Node, ...] = ()
        self._told_by: set[Node] = set()
        self._have_changed = asyncio.Event()
        self._is_ending = False

    def follow(self, nodes: Iterable[Node]) -> None:
        """The servers are these now. Even if they are the same, keys may have moved between them."""
        self._nodes = tuple(nodes)
        self._told_by.clear()
        self._on_told(False)
        self._have_changed.set()

    async def run(self) -> NoReturn:
        while True:
            self._have_changed.clear()
            self._is_ending = False
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._keep(node)) for node in self._nodes]
                try:
                    await self._have_changed.wait()
                finally:
                    self._is_ending = True
                    for task in running:
                        task.cancel()

    async def _keep(self, node: Node) -> NoReturn:
        """A connection to one server on which it tells of changes."""
        settings = self._settings
        backoff = Backoff(settings.min_backoff_ms / 1000, settings.max_backoff_ms / 1000, self._random)
        refused = ""
        while True:
            lost = asyncio.Event()

            def end(event: asyncio.Event = lost) -> None:
                self._lost(node)
                event.set()

            connection = None
            try:
                connection, credential = await node.dial(self._pushed, end)
                words: list[bytes | str] = ["CLIENT", "TRACKING", "ON", "BCAST"]
                for prefix in self._prefixes:
                    words += ["PREFIX", prefix]
                await connection.ask(*words, timeout=settings.connect_timeout_ms / 1000)
                if connection.is_open and node in self._nodes:
                    backoff.reset()
                    refused = ""
                    self._told_by.add(node)
                    self._tell()
                await watch(
                    connection,
                    lost,
                    credential=credential,
                    credentials=node.dialer.credentials,
                    ping=settings.ping_ms / 1000,
                    clock=node.dialer.clock,
                )
            except (Unavailable, StoreRefused) as error:
                if isinstance(error, StoreRefused) and refused != str(error):
                    refused = str(error)
                    log.warning("features.tracking_refused", server=node.name, error=refused)
            finally:
                if connection is not None:
                    connection.close()
            await asyncio.sleep(backoff.delay())

    def _lost(self, node: Node) -> None:
        if node in self._told_by:
            self._told_by.discard(node)
            if not self._is_ending:
                log.warning("features.tracking_lost", server=node.name)
            self._tell()

    def _tell(self) -> None:
        self._on_told(bool(self._nodes) and len(self._told_by) == len(self._nodes))

    def _pushed(self, push: Push) -> None:
        if len(push) == 2 and push[0] == b"invalidate":
            self._on_changed(push[1])


def least_prefixes(prefixes: Iterable[bytes]) -> tuple[bytes, ...]:
    """Without those that begin with another: the server refuses prefixes that overlap."""
    least: list[bytes] = []
    for prefix in sorted(set(prefixes)):
        if not least or not prefix.startswith(least[-1]):
            least.append(prefix)
    return tuple(least)
