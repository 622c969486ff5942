"""Servers that share a Redis, each with a state directory of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gateway.config import Settings, compose, read_files
from gateway.control.control_config import ControlConfig
from gateway.control.document import Document
from gateway.control.model_files import ModelFiles
from gateway.control.redis_source import RedisSource
from gateway.control.redis_store import RedisStore
from tests.support.paced import Paced

__all__ = ["NOW", "open_redis"]

NOW = 1_800_000_000.0


def open_redis(
    url: str,
    root: Path,
    state: Path,
    *,
    paced: Paced | None = None,
    check: Callable[[Document], object] | None = None,
    **config: Any,
) -> RedisSource:
    models = ModelFiles(lambda: int(NOW * 1e9))
    control = ControlConfig(source="redis", redis_url=url, **config)
    return RedisSource(
        RedisStore(control),
        state / "kept.json",
        read_files=lambda: read_files(root),
        check=check or partial(compose, root=root, settings=Settings(), models=models),
        models=models,
        is_read_only=control.read_only,
        clock=lambda: NOW,
        pause=paced.pause if paced else asyncio.sleep,
    )
