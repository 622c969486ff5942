"""
Where a gateway process is told what to serve next: by its supervisor's calls, or by the file that it was started from.

The supervisor prepares all its gateways, writes the file, and then tells them to switch. The file is what counts: a
gateway looks at it four times a second, so one that a call has missed switches by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from gateway.config import Config, compose_unseen
from gateway.control.admin_served import ServedState
from gateway.control.converted import Converted
from gateway.control.document import Document, Entry
from gateway.control.served import Served
from gateway.core.errors import GatewayError
from gateway.serving.serving import Serving

__all__ = ["Followed", "Reload", "config_of"]

log = structlog.get_logger()

_EVERY = 0.25
"""Seconds between two looks: one takes 5 µs while nothing has changed."""


class Followed(Protocol):
    """What a gateway was started from."""

    def newest(self) -> Served | None:
        """
        What is there now, None where that is what was given last. Called in a thread, one call at a time, because it
        may read files. Raises ``ConfigError``.
        """


def config_of(served: Served, started: Config, converted: Converted | None = None) -> Config:
    """
    The settings stay those that the process was started with. What is as it was when ``converted`` was given last is
    the same object. Raises ``ConfigError``.
    """
    entry = Entry(version=served.version, at=0.0, by="", what="")
    document = Document(entry=entry, endpoints=served.endpoints, views=served.views)
    return compose_unseen(document, started.root, started.settings, converted)


class Reload:
    """
    Implements ``gateway.control.admin_served.Reloadable``. ``started`` is what the process was started with, made of
    ``served``: what the first change leaves as it is is not made anew either.
    """

    def __init__(self, serving: Serving, started: Config, served: Served | None = None) -> None:
        self._serving, self._started = serving, started
        self._converted = Converted()
        if served is not None:
            config_of(served, started, self._converted)

    @property
    def state(self) -> ServedState:
        serving = self._serving
        return ServedState(
            version=serving.version, prepared=serving.prepared, draining=serving.draining, using=serving.using
        )

    async def prepare(self, served: Served) -> None:
        """Raises ``GatewayError`` for what cannot be served; then nothing has changed."""
        config = await asyncio.to_thread(config_of, served, self._started, self._converted)
        await self._serving.prepare(config, served)

    async def commit(self, version: int) -> None:
        """Raises ``Conflict`` for a version that was not prepared."""
        await self._serving.commit(version)

    async def abandon(self) -> None:
        """What was prepared is not going to serve."""
        await self._serving.abandon()

    async def follow(self, file: Followed, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Serve by what ``file`` says, until cancelled. What cannot be served is tried again at every look."""
        wanted: Served | None = None
        complaint = ""
        while True:
            await pause(_EVERY)
            try:
                wanted = await asyncio.to_thread(file.newest) or wanted
                # A store that lost a version may give its number again, with another content.
                if wanted is None or (wanted.version, wanted.content) == self._serving.served:
                    wanted = None
                    continue
                if wanted.version != self._serving.prepared:
                    await self.prepare(wanted)
                await self.commit(wanted.version)
            except GatewayError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    log.error("gateway.not_switched", version=wanted.version if wanted else None, reason=complaint)
            else:
                complaint = ""
