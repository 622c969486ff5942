"""
A real server for features: one for the whole session, and private ones that a test may kill or pause.

Every test that uses the shared one gets it empty. Private ones live in a temporary folder with a short name, because
the path of a Unix socket may not be long.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
import redis.exceptions

from feature_cache.embedded import EmbeddedOptions, EmbeddedStore

__all__ = ["Valkey", "private_valkey"]

_PATIENCE = 30.0
_POLL = 0.005


class Valkey:
    """A running server; ``url`` is for clients."""

    def __init__(self, folder: Path, options: EmbeddedOptions | None = None) -> None:
        self._store = EmbeddedStore(folder, options)
        self.restart()

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def socket(self) -> Path:
        return self._store.socket

    @property
    def pid(self) -> int:
        return self._store.pid

    def client(self) -> redis.Redis:
        """A plain client that gives bytes; close it."""
        return redis.Redis.from_url(self.url)

    def empty(self) -> None:
        with self.client() as client:
            client.flushall()
            client.config_resetstat()

    def kill(self) -> None:
        """It is gone at once, and its socket with it."""
        self._store.kill()

    async def stop(self) -> None:
        """It leaves as on a planned restart."""
        await self._store.stop()

    def restart(self) -> None:
        """Start it, again after ``kill``: at the same address, and empty. Blocks for the milliseconds that it takes."""
        self._store.spawn()
        deadline = time.monotonic() + _PATIENCE
        with self.client() as client:
            while time.monotonic() < deadline:
                self._store.check()
                with suppress(redis.exceptions.RedisError):
                    client.ping()
                    return
                time.sleep(_POLL)
        raise AssertionError("the store did not answer")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It keeps its connections and takes new ones, but answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


@contextmanager
def private_valkey(options: EmbeddedOptions | None = None) -> Iterator[Valkey]:
    """A server for one test."""
    folder = Path(tempfile.mkdtemp(prefix="lgv-"))
    server = Valkey(folder / "store", options)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
