"""Which versions ran here, followed while the server runs; and which one a rollback without a number returns to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.control.document import Document
from gateway.control.progress import Running
from gateway.control.ran import Ran
from gateway.control.source import Source
from gateway.core.errors import InvalidInput, NotFound

__all__ = ["WayBack"]


class WayBack:
    """``ran`` keeps on disk what ``running`` tells."""

    def __init__(self, source: Source, running: Running, ran: Ran) -> None:
        self._source, self._running, self._ran = source, running, ran

    async def run(self) -> None:
        """Remember which versions run and which are refused, until cancelled."""
        while True:
            seen = self._running.progress
            await self._note()
            if self._running.progress == seen:  # nothing has moved while it was written down
                await self._running.moved()

    async def last_good(self, newest: int) -> tuple[Document, str]:
        """What ``rollback`` without a version returns to, and what is to be said about it."""
        running = self._running.progress.running
        if 0 < running < newest:
            return await self._source.past(running), ""
        await self._note()
        for version in self._ran.before(newest):
            with suppress(NotFound):  # not kept any more
                return await self._source.past(version), ""
        for entry in await self._source.history():
            if entry.version < newest and entry.version not in self._ran.refused:
                return await self._source.past(entry.version), ", not known to have run"
        raise InvalidInput("version: there is none before the newest to return to; what was refused does not count")

    async def _note(self) -> None:
        progress = self._running.progress
        refused = progress.refused.version if progress.refused is not None else None
        await asyncio.to_thread(self._ran.note, progress.running, refused)
