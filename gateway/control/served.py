"""
What one gateway process is to serve: endpoints, views, and where the workers are.

The supervisor writes it to a file, whole and at once: that rename is the moment at which a reload has happened. A
gateway that starts later reads the same file, so there is no half of a reload to be found, whoever was killed when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.control.disk import Disk
from gateway.core.errors import ConfigError

__all__ = ["Plan", "Served", "ServedFile", "read_served", "write_served"]

Plan = Mapping[str, Mapping[str, Sequence[str]]]
"""Endpoint → deployment → addresses of its workers."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Endpoints and views as they stand in a ``Document``, and the workers that run them."""

    version: int
    """Of the document."""
    content: str = ""
    """Its ``content_digest``: a Redis that has lost a write may give a number twice."""
    endpoints: Mapping[str, Mapping[str, Any]]
    views: Mapping[str, Mapping[str, Any]] = {}
    models: Mapping[str, str] = {}
    """Path of a model → digest of its files."""
    plan: Plan
    settings: Mapping[str, Any] | None = None
    """What ``lockgate.yaml`` and the command line said when the supervisor started; None: read it."""


def read_served(path: Path) -> Served:
    """Raises ``ConfigError``."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Served)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(str(path), f"expected what is served: {error}") from error


def write_served(path: Path, served: Served) -> None:
    """Whoever reads sees the old one or the new one. Raises ``OSError``."""
    Disk().write(path, msgspec.json.encode(served))


class ServedFile:
    """The file, looked at again and again: a look costs one ``stat`` while nothing has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> Served:
        """What it says now. Raises ``ConfigError``."""
        seen = self._look()
        served = read_served(self._path)
        self._seen = seen  # taken before: what was written between the two is found the next time
        return served

    def newest(self) -> Served | None:
        """What it says; None where that is what was given last. Raises ``ConfigError``."""
        return self.read() if self._look() != self._seen else None

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise ConfigError(str(self._path), f"cannot be read: {error.strerror}") from error
        return found.st_ino, found.st_mtime_ns, found.st_size
