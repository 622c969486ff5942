"""A desired state in memory, and a convergence that does what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.control.document import Document, Entry
from gateway.control.progress import Progress, Refused
from gateway.control.source import Conflict, ReadOnly, SourceUnavailable
from gateway.core.errors import ConfigError, NotFound

__all__ = ["FakeRunning", "MemorySource", "document"]


def document(endpoints: dict[str, Any], models: dict[str, str] | None = None) -> Document:
    """Version 1."""
    entry = Entry(version=1, at=0.0, by="files", what="start")
    return Document(entry=entry, endpoints=endpoints, models=models or {})


class MemorySource:
    """Implements ``Source``. ``others``: changes by somebody else, each made just before one of ours is written."""

    def __init__(self, first: Document) -> None:
        self.documents = [first]
        self.read_only = ""
        self.broken: ConfigError | None = None
        self.is_gone = False
        self.others = 0
        self.writes = asyncio.Event()

    @property
    def newest(self) -> Document:
        return self.documents[-1]

    async def read(self) -> Document:
        if self.is_gone:
            raise SourceUnavailable("nobody answers")
        if self.broken is not None:
            raise self.broken
        return self.newest

    async def settled(self) -> Document:
        return await self.read()

    async def write(self, document: Document, expected: int) -> Document:
        if self.read_only:
            raise ReadOnly(self.read_only)
        if self.others:
            self.others -= 1
            self._append(self.newest, "somebody else")
        if expected != self.newest.version:
            raise Conflict(expected, self.newest.version)
        self._append(document, document.entry.by)
        self.writes.set()
        return self.newest

    async def changed(self) -> None:
        await self.writes.wait()

    async def history(self) -> Sequence[Entry]:
        return [each.entry for each in reversed(self.documents)]

    async def past(self, version: int) -> Document:
        found = next((each for each in self.documents if each.version == version), None)
        if found is None:
            raise NotFound(f"version {version} is not kept any more")
        return found

    async def close(self) -> None:
        """Nothing to free."""

    def _append(self, document: Document, by: str) -> None:
        version = self.newest.version + 1
        entry = msgspec.structs.replace(document.entry, version=version, at=float(version), by=by)
        self.documents.append(msgspec.structs.replace(document, entry=entry))


class FakeRunning:
    """Implements ``Running``."""

    def __init__(self, version: int = 1) -> None:
        self.progress = Progress(running=version, wanted=version, gateways={"0": version})
        self._moved = asyncio.Event()
        self.waited = asyncio.Event()
        """Somebody waits."""

    async def moved(self) -> None:
        moved = self._moved
        self.waited.set()
        await moved.wait()

    def runs(self, version: int) -> None:
        self._is(Progress(running=version, wanted=version, gateways={"0": version}))

    def refuses(self, version: int, reason: str) -> None:
        running = self.progress.running
        refused = Refused(version=version, reason=reason)
        self._is(Progress(running=running, wanted=version, gateways={"0": running}, refused=refused))

    def has_problem(self, problem: str) -> None:
        """With whatever is newest, for now."""
        self._is(msgspec.structs.replace(self.progress, problem=problem))

    def _is(self, progress: Progress) -> None:
        self.progress = progress
        self._moved.set()
        self._moved = asyncio.Event()
