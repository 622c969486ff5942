"""Opens the source of the desired state that the settings name, and what is known of its versions here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.control.control_config import ControlConfig
from gateway.control.document import Document
from gateway.control.folder_source import FolderSource
from gateway.control.history import history_folder
from gateway.control.model_files import ModelFiles
from gateway.control.ran import Ran
from gateway.control.redis_source import RedisSource
from gateway.control.redis_store import RedisStore
from gateway.control.served_folder import ServedFolder
from gateway.control.source import Source

__all__ = ["open_ran", "open_source"]


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


def open_ran(config: ControlConfig, root: Path, state_dir: Path) -> Ran:
    """Which versions of it ran on this machine; ``root`` as above."""
    file = state_dir / "history" / f"ran-redis-{config.name}.json"
    if config.source == "folder":
        file = history_folder(root, state_dir) / "ran.json"
    return Ran(file, config.keep)
