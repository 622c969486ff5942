"""
Which settings of ``lockgate.yaml`` are others than those that everything was started with.

They are read once: ports, certificates' paths or the number of gateways cannot change under connections that are open.
So that nobody waits for such a change to show, it is told in the log and on the admin API that it needs a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import structlog

from gateway.core.errors import ConfigError

__all__ = ["SettingsWatch"]

log = structlog.get_logger()

_EVERY = 2.0


class SettingsWatch:
    """``read`` gives the settings as plain values; ``changed`` is called when ``differing`` is another list."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, Any]],
        started: Mapping[str, Any],
        changed: Callable[[], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._read, self._started, self._changed, self._pause = read, started, changed, pause
        self.differing: tuple[str, ...] = ()
        """Names of settings, such as ``edge.http_port``; or what is wrong with the file."""

    async def run(self) -> None:
        """Look every other second until cancelled: a folder may be on a network."""
        while True:
            await self._pause(_EVERY)
            await self.look()

    async def look(self) -> None:
        """Once."""
        try:
            found = await asyncio.to_thread(self._compare)
        except ConfigError as error:
            found = (str(error),)
        except OSError as error:  # the folder may not be looked at, or its network has gone: nobody is to end of that
            found = (f"{error.filename or 'lockgate.yaml'}: cannot be read: {error.strerror or error}",)
        if found != self.differing:
            self.differing = found
            if found:
                log.warning("control.needs_restart", settings=list(found))
            self._changed()

    def _compare(self) -> tuple[str, ...]:
        found = self._read()
        return () if found == self._started else tuple(_differing(self._started, found))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Names only: a value may be a password."""
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differing(before, after, (*above, name))
        elif before != after:
            yield ".".join((*above, name))
