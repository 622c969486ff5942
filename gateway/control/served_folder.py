"""
What a served folder says, read whole: ``endpoints/*.yaml`` and ``features/*.yaml`` as plain mappings.

They stay as they were written but for two things: paths are absolute, and what JSON cannot hold becomes what it can
(a date its text). Everything is checked on the way, so that a mistake is told with its file, line and key. A single
model (``.rds``, ``.onnx`` or a model folder) is read as a folder with one endpoint that is named after it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from gateway.control.convert import absolute
from gateway.control.endpoints import EndpointConfig
from gateway.control.yaml_file import YamlFile, open_yaml
from gateway.core.errors import ConfigError

__all__ = [
    "ENDPOINTS_FOLDER",
    "FEATURES_FOLDER",
    "Opened",
    "Raw",
    "ServedFolder",
    "read_served_folder",
    "read_views",
    "yaml_files",
    "yaml_paths",
]

Raw: TypeAlias = dict[str, dict[str, Any]]
"""Name → what its file says."""
Opened: TypeAlias = Callable[[Path], YamlFile]
"""A file, read and understood, as ``open_yaml`` does it."""

ENDPOINTS_FOLDER = "endpoints"
FEATURES_FOLDER = "features"


class _Named(Protocol):
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFolder:
    """What was read, and from which files."""

    endpoints: Raw
    views: Raw = field(default_factory=dict)
    endpoint_files: Mapping[str, Path] = field(default_factory=dict)
    """By the endpoint's name; nothing for a single model."""
    view_files: Mapping[str, Path] = field(default_factory=dict)


def read_served_folder(root: Path, view: type[_Named], opened: Opened = open_yaml) -> ServedFolder:
    """``view`` is the class of a view's file; ``opened`` may remember files. Raises ``ConfigError``."""
    folder = root / ENDPOINTS_FOLDER
    if not root.exists():
        raise ConfigError(str(root), "no such file or folder")
    if not folder.is_dir():
        return ServedFolder(endpoints=_single(root))
    if not yaml_files(folder):
        raise ConfigError(str(folder), "expected at least one endpoint file (*.yaml)")
    views, view_files = read_views(root, view, opened)
    endpoints, endpoint_files = read_endpoints(root, opened)
    return ServedFolder(endpoints=endpoints, views=views, endpoint_files=endpoint_files, view_files=view_files)


def read_endpoints(root: Path, opened: Opened = open_yaml) -> tuple[Raw, dict[str, Path]]:
    """What the endpoint files say, and the file of each. Raises ``ConfigError``."""
    return _read_all(root / ENDPOINTS_FOLDER, EndpointConfig, "endpoint", opened)


def read_views(root: Path, kind: type[_Named], opened: Opened = open_yaml) -> tuple[Raw, dict[str, Path]]:
    """Likewise of the feature views."""
    return _read_all(root / FEATURES_FOLDER, kind, "view", opened)


def yaml_files(folder: Path) -> list[Path]:
    """By name; none where there is no such folder, or where it may not be listed."""
    return [Path(path) for path in yaml_paths(folder)]


def yaml_paths(folder: Path) -> list[str]:
    """The same as texts, for whoever looks five times a second: to make each a ``Path`` took half of such a look."""
    if not folder.is_dir():  # unlike that of os.path it raises where a disk does not answer
        return []
    try:
        names = os.listdir(folder)  # noqa: PTH208  # a tenth of the time of two globs
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return [f"{folder}/{name}" for name in sorted(names) if name.endswith((".yaml", ".yml"))]


def _read_all(folder: Path, kind: type[_Named], noun: str, opened: Opened) -> tuple[Raw, dict[str, Path]]:
    raw: Raw = {}
    files: dict[str, Path] = {}
    for path in yaml_files(folder):
        file = opened(path)
        name = file.convert(kind).name
        if name in raw:
            raise ConfigError(str(path), f'{noun} "{name}" is defined in another file too, {files[name].name}')
        raw[name], files[name] = plain(file), path
    return raw, files


def plain(file: YamlFile) -> dict[str, Any]:
    """What the file says, as JSON could say it, with absolute paths. Raises ``ConfigError``."""
    _refuse_infinite(file.data, [], file.path)
    try:
        data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(file.data))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise ConfigError(str(file.path), f"expected what JSON can hold: {error}") from error
    for owner, key in paths_in(data):
        owner[key] = absolute(file.path.parent, owner[key])
    return data


def paths_in(data: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Where paths stand in what a file of an endpoint or a view says: the mapping, and the key in it."""
    deployments = data.get("deployments")
    owners = deployments.values() if isinstance(deployments, dict) else ()
    found: list[tuple[Any, str]] = [*((owner, "model") for owner in owners), (data, "seed")]
    return [(owner, key) for owner, key in found if isinstance(owner, dict) and isinstance(owner.get(key), str)]


def _refuse_infinite(value: Any, keys: list[str], path: Path) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            _refuse_infinite(each, [*keys, str(key)], path)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            _refuse_infinite(each, [*keys, str(place)], path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(str(path), f"{'.'.join(keys)}: expected a finite number")


def _single(path: Path) -> Raw:
    """One endpoint with one deployment, named after the model."""
    is_model = path.suffix in (".rds", ".onnx") or (
        path.is_dir()
        and (
            (path / "MLmodel").exists()
            or (path / "score.R").exists()
            or any(path.glob("*.rds"))
            or any(path.glob("*.onnx"))
        )
    )
    if not is_model:
        raise ConfigError(
            str(path), f"expected a folder with {ENDPOINTS_FOLDER}/*.yaml, or a model (.rds, .onnx, MLmodel)"
        )
    name = re.sub(r"[^a-zA-Z0-9]+", "-", path.stem if path.is_file() else path.name).strip("-")[:32].rstrip("-")
    if not name or not name[0].isalpha():
        name = f"model-{name}"[:32].rstrip("-")
    return {name: {"name": name, "deployments": {"blue": {"model": os.path.abspath(path)}}}}  # noqa: PTH100  # keeps links
