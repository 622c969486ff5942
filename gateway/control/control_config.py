"""What an operator may set about where the desired state lives: the part of ``lockgate.yaml`` under ``control``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from gateway.core.bounds import DAY_MS, expect_within

__all__ = ["ControlConfig"]

_SCHEMES = ("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")
_NAME = re.compile(r"[a-zA-Z0-9][-_.a-zA-Z0-9]{0,63}")


class ControlConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where endpoints, traffic and views come from, and where changes to them are written."""

    source: Literal["folder", "redis"] = "folder"
    """The files of the served folder, or a Redis that several servers share."""
    redis_url: str = ""
    """``redis://``, ``rediss://`` (TLS) or ``unix://``; of a cluster ``redis+cluster://`` or ``rediss+cluster://``."""
    redis_url_file: Path | None = None
    """The same from a file, for an address with a password in it."""
    name: str = "default"
    """Servers with the same name in the same Redis serve the same."""
    read_only: bool = False
    """Whether the admin API may change nothing that is served."""
    models: tuple[Path, ...] = ()
    """Folders that a change through the admin API may name models in; none: the served one, and those beside models."""
    keep: int = 200
    """Versions in the history."""
    gentle_load_ms: int = 20_000
    """
    How long new workers load behind everything that serves, before they take their share of the CPU; 0: from the start.
    """

    def __post_init__(self) -> None:
        has_url = bool(self.redis_url) or self.redis_url_file is not None
        if self.source == "redis" and not has_url:
            raise ValueError("source: expected redis_url or redis_url_file as well")
        if self.source == "folder" and has_url:
            raise ValueError("source: expected redis where there is a redis_url")
        if self.redis_url and self.redis_url_file is not None:
            raise ValueError("redis_url: expected either redis_url or redis_url_file")
        if self.redis_url and not self.redis_url.startswith(_SCHEMES):
            # Without the value: it may hold a password.
            raise ValueError(f"redis_url: expected an address that begins with {', '.join(_SCHEMES)}")
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f'name: expected a letter or digit, then up to 63 letters, digits, ".", "_" or "-", got "{self.name}"'
            )
        expect_within(self, 0, DAY_MS, "gentle_load_ms")
        expect_within(self, 2, 10_000, "keep")
