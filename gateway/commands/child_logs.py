"""
The logs of all processes at a person's terminal: above the live table instead of through it, and in one form.

Elsewhere every process writes to standard error by itself, and this is not used.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TextIO, cast

import msgspec
import structlog
from rich.console import Console
from rich.text import Text

from gateway.telemetry.logs import configure_logs

__all__ = ["ChildLogs", "child_logs"]

_LINE_LIMIT = 1 << 20
_ROUTINE = ("debug", "info")


class ChildLogs:
    """Shows what is written to ``descriptor``. While ``is_quiet``, what is merely routine is left out."""

    def __init__(self, console: Console, descriptor: int, source: int) -> None:
        self._console, self.descriptor, self._source = console, descriptor, source
        self.is_quiet = True
        self._render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Show lines as they come, for the length of the block."""
        reader = asyncio.StreamReader(limit=_LINE_LIMIT)
        pipe = os.fdopen(os.dup(self._source), "rb", 0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        following = asyncio.create_task(self._follow(reader), name="logs of the children")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])
            transport.close()

    def show(self, line: str) -> None:
        """Show one line: an event in JSON in the form of our own events, anything else as it is."""
        try:
            event = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            self._console.print(Text.from_ansi(line), soft_wrap=True)
            return
        if not (self.is_quiet and event.get("level") in _ROUTINE):
            self._console.print(Text.from_ansi(str(self._render(None, "", event))), soft_wrap=True)

    def write(self, text: str) -> None:
        """Makes this a stream for our own logger."""
        if text.strip():
            self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)

    def flush(self) -> None:
        """A console does that by itself."""

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # longer than the limit
                continue
            if not line:
                return
            self.show(line.decode(errors="replace").rstrip("\n"))


@contextmanager
def child_logs(console: Console, level: str) -> Iterator[ChildLogs | None]:
    """Takes over standard error where it is the same terminal as the console; None anywhere else."""
    if not (console.is_terminal and sys.stderr.isatty()):
        yield None
        return
    source, descriptor = os.pipe()
    logs = ChildLogs(console, descriptor, source)
    configure_logs(level, cast(TextIO, logs), is_terminal=True)
    try:
        yield logs
    finally:
        configure_logs(level)
        os.close(descriptor)
        os.close(source)
