"""
What a gateway without a supervisor serves: a folder, and a plan file that says where the workers of its models are.

Both are looked at while it runs. A change counts when two looks in a row find the same, so that nothing half-written is
read. Whoever changes the plan starts the new workers before and stops the old ones after.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import msgspec

from gateway.config import read_files
from gateway.control.model_files import ModelFiles, Stamp, model_paths, stamp
from gateway.control.served import Plan, Served
from gateway.control.served_folder import ENDPOINTS_FOLDER, FEATURES_FOLDER, yaml_files
from gateway.core.errors import ConfigError

__all__ = ["PlannedFolder"]


class PlannedFolder:
    """Implements ``gateway.serving.reload.Followed``. Versions are counted from 1 in each process."""

    def __init__(self, root: Path, plan: Path) -> None:
        self._root, self._plan = Path(os.path.abspath(root)), plan  # noqa: PTH100  # with links: they may be swapped
        self._version = 0
        self._given: list[Stamp] = []
        self._last: list[Stamp] = []

    def read(self) -> Served:
        """What is there, settled or not: for the start. Raises ``ConfigError``."""
        return self._read(self._look())

    def newest(self) -> Served | None:
        """What is there now; None where that is what was given last, or still changing. Raises ``ConfigError``."""
        look = self._look()
        is_settled, self._last = look == self._last, look
        return self._read(look) if is_settled and look != self._given else None

    def _read(self, look: list[Stamp]) -> Served:
        # Before it is read: what is wrong is told once, and read again when it changes.
        self._given = self._last = look
        found, plan = read_files(self._root), _read_plan(self._plan)
        models = {path: _identity(path) for path in model_paths(found.endpoints)}
        self._version += 1
        return Served(version=self._version, endpoints=found.endpoints, views=found.views, models=models, plan=plan)

    def _look(self) -> list[Stamp]:
        return [stamp(file) for file in (*_files(self._root), self._plan)]


def _files(root: Path) -> list[Path]:
    if not root.exists():
        raise ConfigError(str(root), "no such file or folder")
    if not (root / ENDPOINTS_FOLDER).is_dir():
        return []
    return [*yaml_files(root / ENDPOINTS_FOLDER), *yaml_files(root / FEATURES_FOLDER)]


def _identity(model: str) -> str:
    """Another one when files were replaced. The digest would be, too, but takes as long as reading them."""
    return sha256(repr(sorted(ModelFiles().stamps([model]).items())).encode("utf-8", "surrogateescape")).hexdigest()


def _read_plan(path: Path) -> Plan:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, list[str]]])
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(str(path), f"expected a plan file: {error}") from error
