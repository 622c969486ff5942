"""
When each key was used last: a file beside the keys that every process adds its own to, once a minute.

It is for finding keys that nobody needs, so minutes do not matter, and where it cannot be written nobody is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from gateway.auth.sealed_file import locked, write_sealed
from gateway.core.errors import ConfigError

__all__ = ["KeyUses"]

log = structlog.get_logger()


class KeyUses:
    """Names of keys → Unix seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noted: dict[str, int] = {}
        self._is_lost = False

    def read(self) -> dict[str, int]:
        """What is known; nothing where there is no file, or none that can be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, int])
        except (OSError, msgspec.MsgspecError):
            return {}

    def note(self, used: Mapping[str, int]) -> None:
        """Add what has changed since the last time. Blocks for a moment."""
        if used == self._noted:
            return
        try:
            with locked(self._path):
                known = self.read()
                merged = {name: max(known.get(name, 0), when) for name, when in used.items()}
                write_sealed(self._path, msgspec.json.encode({**known, **merged}))
        except (OSError, ConfigError) as error:
            if not self._is_lost:
                log.warning("auth.last_uses_lost", reason=str(error))
            self._is_lost = True
        else:
            self._noted = dict(used)
