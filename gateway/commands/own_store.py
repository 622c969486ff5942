"""
The store that ``lockgate serve`` brings along where there are views and no other store.

It is started again when it dies, and each time it is filled from the views' seeds, because it has forgotten everything
(unless it is told to keep its rows). Views may come with a reload: gateways are told its address in any case, and it
runs from the first view on.

Nobody finds a server at its address before the seeds are in it: a gateway that read an empty one would tell callers
that what they ask for does not exist. Until then there is no store, and the policies for that hold.

Rows of a new view, and of one whose columns have changed, have keys of their own: they are there before a gateway is
asked to read them, and nobody reads them who does not understand them. Where the keys stay (another seed, another ttl,
Feast's layout) the rows are the ones that the old version reads: they are written when the gateways have switched. From
then until they are, both versions read the rows of before, which both understand.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import structlog

from feature_cache.clients import open_client
from feature_cache.embedded import EmbeddedOptions, EmbeddedStore, NoServer
from feature_cache.errors import FeatureError
from feature_cache.keys import fingerprint
from feature_cache.load import load_table
from feature_cache.settings import StoreSettings
from feature_cache.tables import Reject, open_table
from feature_cache.writer import Writer
from gateway.config import Config
from gateway.core.errors import ConfigError
from gateway.features.config import REDIS_URL, ViewFile

__all__ = ["OwnStore"]

log = structlog.get_logger()

_BACKOFF = (0.05, 0.2, 1.0, 5.0)
"""Seconds before a start after the last one failed; the last one stays."""
_REJECTS_TOLD = 3


class OwnStore:
    """
    Enter it to start the server, if there are views, and leave it to stop it; ``run`` watches over it in between.

    Implements ``gateway.commands.transition.Follower``.
    """

    def __init__(self, store: EmbeddedStore, views: Mapping[str, ViewFile], prefix: str) -> None:
        self._store, self._views, self._prefix = store, views, prefix
        self._started, self._changed = asyncio.Event(), asyncio.Event()
        self._turn = asyncio.Lock()
        self._coming: Sequence[ViewFile] = ()
        """Those that only the version reads for which all was prepared last: gateways may have switched to it."""
        self._loaded: dict[object, ViewFile] | None = None
        """By what tells keys apart, whose seeds have been loaded into the server that runs; None while none does."""
        self.filled = asyncio.Event()
        """Set when the seeds have been loaded for the first time, or there are none."""

    @staticmethod
    def where_possible(config: Config, folder: Path, kept: Path) -> OwnStore | None:
        """None where somebody says which store to use."""
        settings = config.settings.features.with_url(os.environ)
        if settings.url:
            return None
        embedded = settings.embedded
        options = EmbeddedOptions(max_memory_mb=embedded.max_memory_mb, keep_in=kept if embedded.keep else None)
        return OwnStore(EmbeddedStore(folder, options), config.views, settings.prefix)

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells a gateway of it."""
        return {REDIS_URL: self._store.url}

    async def __aenter__(self) -> OwnStore:
        if self._views:
            await self._start()
        else:
            self.filled.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.stop()

    async def prepare(self, config: Config) -> None:
        """The server runs, and has the rows that only the new version reads. Raises ``ConfigError``."""
        if config.views and not self._started.is_set():
            await self._start()
        read = {_keys_of(view) for view in self._views.values()}
        new = [view for view in config.views.values() if _keys_of(view) not in read]
        self._coming = ()  # of a change that nothing came of
        await self._fill(new)
        self._coming = new

    def install(self, config: Config) -> None:
        """These views are read from now on."""
        self._views, self._coming = config.views, ()
        if self._loaded is not None:
            for keys in self._loaded.keys() - {_keys_of(view) for view in config.views.values()}:
                del self._loaded[keys]  # should it come back its rows may have ended
        self._changed.set()

    async def run(self) -> None:
        """Fill it whenever there is something new, and whenever it ends start and fill it again, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_alive(), name="feature store")
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._started.is_set():
                    await self._fill()
                self.filled.set()

    async def _start(self) -> None:
        try:
            await self._store.start(unseen=True)
        except (NoServer, OSError) as error:
            raise ConfigError("features", str(error)) from error
        self._loaded = {}
        self._started.set()
        self._changed.set()

    async def _keep_alive(self) -> None:
        tries = 0
        while True:
            await self._started.wait()
            status = await self._store.wait()
            log.warning("features.store_exited", status=status)
            self._loaded = None
            while not self._store.is_running:
                await asyncio.sleep(_BACKOFF[min(tries, len(_BACKOFF) - 1)])
                tries += 1
                try:
                    await self._store.start(unseen=True)
                except (NoServer, OSError) as error:
                    log.warning("features.store_not_started", error=str(error))
                else:
                    tries = 0
            self._loaded = {}  # another one, so that what is just being loaded is not taken for loaded
            self._changed.set()

    async def _fill(self, new: Iterable[ViewFile] = ()) -> None:
        """Load the seeds that are not there yet; what is read first, and once that is there the server is found."""
        async with self._turn:
            loaded = self._loaded
            if loaded is None:
                return  # whoever starts the next one has it filled
            read = [*self._views.values(), *self._coming]
            await self._load_into(loaded, read)
            if loaded is self._loaded and _are_in(loaded, [*self._views.values(), *self._coming]):
                self._store.show()
            await self._load_into(loaded, new)

    async def _load_into(self, loaded: dict[object, ViewFile], views: Iterable[ViewFile]) -> None:
        missing = [view for view in views if not _are_in(loaded, [view])]
        if missing:
            await self._load(missing)
            loaded.update({_keys_of(view): view for view in missing})

    async def _load(self, views: Iterable[ViewFile]) -> None:
        async with open_client(StoreSettings(url=self._store.own_url)) as client:
            for view in views:
                if view.seed is None:
                    continue
                rejects: list[Reject] = []
                try:
                    now_us = int(view.seed.stat().st_mtime * 1_000_000)
                    table = open_table(view.seed, view, now_us=now_us)
                    writer = Writer(client, view, prefix=self._prefix)
                    done = await load_table(table, writer, now_us=now_us, on_reject=rejects.append)
                except (FeatureError, OSError) as error:
                    log.warning("features.not_filled", view=view.name, error=str(error))
                    continue
                log.info("features.filled", view=view.name, rows=done.written + done.skipped)
                if rejects:
                    told = [f"row {each.row}: {each.problem}" for each in rejects[:_REJECTS_TOLD]]
                    log.warning("features.rejected", view=view.name, rows=len(rejects), first=told)


def _keys_of(view: ViewFile) -> object:
    """Writing rows of views of which this differs leaves those of the other alone."""
    return view.name, view.feast or fingerprint(view)  # columns are fields of one row in Feast's layout


def _are_in(loaded: Mapping[object, ViewFile], views: Iterable[ViewFile]) -> bool:
    return all(loaded.get(_keys_of(view)) == view for view in views)
