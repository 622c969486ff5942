"""Opens the source of the desired state that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.control.control_config import ControlConfig
from gateway.control.document import Document
from gateway.control.folder_source import FolderSource
from gateway.control.model_files import ModelFiles
from gateway.control.redis_source import RedisSource
from gateway.control.redis_store import RedisStore
from gateway.control.served_folder import ServedFolder
from gateway.control.source import Source

__all__ = ["open_source"]


def open_source(
    config: ControlConfig,
    root: Path,
    state_dir: Path,
    *,
    read_files: Callable[[Path], ServedFolder],
    check: Callable[[Document], object],
    models: ModelFiles,
) -> Source:
    """
    For the folder or single model at ``root``; give it with its symbolic links as they are.

    ``read_files`` and ``check`` are those of ``gateway.config``, the latter ``compose`` with all but the document. Only
    one process may have the state directory. Raises ``ConfigError``; whether the source answers is known by ``read``.
    """
    if config.source == "folder":
        return FolderSource(
            root,
            state_dir,
            read=read_files,
            check=check,
            models=models,
            keep=config.keep,
            is_read_only=config.read_only,
        )
    return RedisSource(
        RedisStore(config),
        state_dir / "history" / f"redis-{config.name}.json",
        read_files=lambda: read_files(root),
        check=check,
        models=models,
        is_read_only=config.read_only,
    )
