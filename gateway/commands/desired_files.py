"""What is to be served, as the files say that are named on the command line. Paths in them become absolute here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import read_files
from gateway.control.endpoints import EndpointConfig
from gateway.control.served_folder import ENDPOINTS_FOLDER, plain, yaml_files
from gateway.control.yaml_file import open_yaml
from gateway.core.errors import ConfigError
from gateway.features.config import ViewFile

__all__ = ["Desired", "read_desired"]

_YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Desired:
    """Name → what its file says."""

    endpoints: Mapping[str, Mapping[str, Any]]
    views: Mapping[str, Mapping[str, Any]]

    @property
    def body(self) -> dict[str, Any]:
        """As the admin API takes it."""
        return {"endpoints": self.endpoints, "views": self.views}


def read_desired(paths: Iterable[Path]) -> Desired:
    """
    Of files of endpoints and feature views, served folders, folders of such files, and single models.

    Raises ``ConfigError`` with file, line and key.
    """
    endpoints: dict[str, Mapping[str, Any]] = {}
    views: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        found = _read(path.absolute())  # what stands in it is taken from its folder, wherever that is
        for known, new, noun in ((endpoints, found.endpoints, "endpoint"), (views, found.views, "view")):
            if twice := known.keys() & new.keys():
                raise ConfigError(str(path), f'{noun} "{min(twice)}" is defined in another file too')
            known.update(new)
    return Desired(endpoints, views)


def _read(path: Path) -> Desired:
    if path.is_file() and path.suffix in _YAML:
        return _file(path)
    if path.is_dir() and not (path / ENDPOINTS_FOLDER).is_dir() and (files := yaml_files(path)):
        return read_desired(files)
    found = read_files(path)
    return Desired(found.endpoints, found.views)


def _file(path: Path) -> Desired:
    file = open_yaml(path)
    is_view = isinstance(file.data, Mapping) and "entities" in file.data
    if is_view:
        return Desired({}, {file.convert(ViewFile).name: plain(file)})
    return Desired({file.convert(EndpointConfig).name: plain(file)}, {})
