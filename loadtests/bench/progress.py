"""
How far a change of the served folder has come: asked of ``GET /status`` on the admin port until it is there, or, where
asking would be work for a server that is being measured, read in its log.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from loadtests.bench.server import ServerFailed

__all__ = ["EventLog", "Progress", "StatusPage", "Taken", "outcome"]

POLL_SECONDS = 0.02
SELDOM = 0.25
"""Seconds between two looks at the log."""
TIMEOUT = 60.0


class _Refused(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    reason: str


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What matters here of the page."""

    running: int
    phase: str
    refused: _Refused | None = None
    gateways: Mapping[str, int | None] = {}


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    progress: Progress


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One change, by the monotonic clock."""

    written: float
    running: float
    """When every process was seen to run it."""
    settled: float
    """When nothing was left to do: what it replaced has ended."""


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    event: str
    timestamp: datetime


class EventLog:
    """What a server logs from now on. ``offset`` is what the clock of its lines is ahead of ``clock``."""

    def __init__(self, path: Path, *, offset: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._offset, self._clock = path, offset, clock
        self._from = path.stat().st_size

    def first(self, name: str) -> float | None:
        """When the first event of this name was, by ``clock``; None before."""
        with self._path.open("rb") as file:
            file.seek(self._from)
            lines = [line for line in file if name.encode() in line and line.endswith(b"\n")]
        for line in lines:
            found = msgspec.json.decode(line, type=_Event)
            if found.event == name:
                return found.timestamp.timestamp() - self._offset
        return None

    def wait_for(self, name: str, seconds: float) -> float:
        """The same when it has come. Raises ``ServerFailed`` when it does not."""
        latest = self._clock() + seconds
        while (at := self.first(name)) is None:
            if self._clock() > latest:
                raise ServerFailed(f"{name} was not logged within {seconds:.0f} s")
            time.sleep(SELDOM)
        return at


def outcome(before: int, now: Progress) -> bool:
    """
    Whether every process runs something newer than version ``before``. Raises ``ServerFailed`` when it was refused.
    """
    if now.refused is not None and now.refused.version > before:
        raise ServerFailed(f"version {now.refused.version} was refused: {now.refused.reason}")
    return now.running > before and all(version == now.running for version in now.gateways.values())


class StatusPage:
    """A connection to the admin port, with the administrator's key."""

    def __init__(self, port: int, key_file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._headers = {"authorization": f"Bearer {key_file.read_text().strip()}"}
        self._clock = clock

    def read(self) -> Progress:
        """Raises ``ServerFailed`` for any answer but 200."""
        self._connection.request("GET", "/status", headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise ServerFailed(f"GET /status answered {answer.status}: {body.decode(errors='replace')[:200]}")
        return msgspec.json.decode(body, type=_Page).progress

    def follow(self, write: Callable[[], None]) -> Taken:
        """Do ``write``, which changes the folder, and ask until it is done. Raises ``ServerFailed``."""
        before = self.read().running
        written = self._clock()
        write()
        running = self._until(lambda now: outcome(before, now), written + TIMEOUT)
        settled = self._until(lambda now: now.phase == "settled", running + TIMEOUT)
        return Taken(written=written, running=running, settled=settled)

    def close(self) -> None:
        self._connection.close()

    def _until(self, is_so: Callable[[Progress], bool], latest: float) -> float:
        while not is_so(now := self.read()):
            if self._clock() > latest:
                raise ServerFailed(f"no change of the folder was taken up within {TIMEOUT:.0f} s: {now}")
            time.sleep(POLL_SECONDS)
        return self._clock()
