"""
All settings, composed from the classes that live beside what they configure.

A served folder holds ``endpoints/*.yaml``, ``features/*.yaml`` where models take features from a store, and
``lockgate.yaml`` if anything of the defaults is to change. A single model (a model folder, ``.rds`` or ``.onnx`` file)
can be served without all of them: it becomes one endpoint named after it. Unknown keys, wrong types and models that
are not there are errors that name the file, the line and what was expected; nothing is started then.

What is served passes through a ``Document`` on its way, whatever it comes from: files are read into one
(``read_folder``), and one is checked and made the configuration (``compose``). ``load`` is both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from gateway.auth.config import AuthConfig
from gateway.control.control_config import ControlConfig
from gateway.control.convert import WrongValue, convert
from gateway.control.converted import Converted
from gateway.control.document import Document, Entry
from gateway.control.endpoints import AuthMode, EndpointConfig
from gateway.control.model_files import FilesMissing, ModelFiles
from gateway.control.served_folder import FEATURES_FOLDER, Opened, ServedFolder, read_served_folder, read_views
from gateway.control.yaml_file import open_yaml, read_yaml
from gateway.core.bounds import DAY_MS, expect_within
from gateway.core.errors import ConfigError
from gateway.edge.config import EdgeConfig
from gateway.features.config import FeatureStoreConfig, ViewFile
from gateway.limits.config import LimitsConfig
from gateway.pool.config import PoolConfig

__all__ = [
    "Config",
    "Settings",
    "compose",
    "compose_unseen",
    "load",
    "load_settings",
    "load_views",
    "raw_settings",
    "read_files",
    "read_folder",
    "settings_of",
]

SETTINGS_FILE = "lockgate.yaml"
UNWRITTEN = Entry(version=0, at=0.0, by="files", what="")

T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``lockgate.yaml`` may say."""

    edge: EdgeConfig = EdgeConfig()
    pool: PoolConfig = PoolConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    features: FeatureStoreConfig = FeatureStoreConfig()
    control: ControlConfig = ControlConfig()
    gateways: int = 1
    """Gateway processes; they share the ports."""
    admin_port: int = 8445
    """Loopback only."""
    drain_ms: int = 10_000
    """How long accepted work may take after SIGTERM."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        expect_within(self, 1, 64, "gateways")
        expect_within(self, 0, 65535, "admin_port")
        expect_within(self, 0, DAY_MS, "drain_ms")
        if self.auth.certificates and self.edge.tls.client_auth == "none":
            raise ValueError("auth: expected edge.tls.client_auth optional or required where there are certificates")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was configured."""

    root: Path
    """What was served: the folder, or the single model."""
    settings: Settings
    endpoints: dict[str, EndpointConfig]
    views: dict[str, ViewFile] = {}
    """Feature views by name."""

    @property
    def modes(self) -> dict[str, AuthMode]:
        """What callers of each endpoint show."""
        return {name: endpoint.auth_mode for name, endpoint in self.endpoints.items()}


def load(path: Path) -> Config:
    """Read and check the folder or single model at ``path``. Raises ``ConfigError``."""
    path = Path(os.path.abspath(path))  # noqa: PTH100  # with links as they are: they may be swapped
    found = read_files(path)
    settings = load_settings(path)
    config = _compose(found.endpoints, found.views, path, settings, found)
    _check_files(config, found)
    return config


def read_files(path: Path, opened: Opened = open_yaml) -> ServedFolder:
    """
    What is written in the folder, or stands for the single model, and where; ``opened`` may remember files. Raises
    ``ConfigError``.
    """
    return read_served_folder(path, ViewFile, opened)


def read_folder(path: Path, models: ModelFiles | None = None, entry: Entry = UNWRITTEN) -> Document:
    """
    The folder or single model as a document, with the digest of every model that is there. Reads the models: call it
    in a thread. Raises ``ConfigError`` with file, line and key.
    """
    found = read_files(path)
    digests = (models or ModelFiles()).digests(found.endpoints)
    return Document(entry=entry, endpoints=found.endpoints, views=found.views, models=digests)


def compose(
    document: Document,
    root: Path,
    settings: Settings,
    models: ModelFiles | None = None,
    converted: Converted | None = None,
) -> Config:
    """
    Check the document and make it the configuration. Raises ``ConfigError`` that names ``endpoints.<name>.<key>``;
    ``FilesMissing`` where it is in order, but files of its models are not here yet.

    The files of each model have to be those whose digest the document names, where it names one: this reads them, so
    call it in a thread, and give the same ``models`` each time for them to be read once; likewise ``converted``.
    """
    config = compose_unseen(document, root, settings, converted)
    _check_files(config, None)
    (models or ModelFiles()).check(document)
    return config


def compose_unseen(document: Document, root: Path, settings: Settings, converted: Converted | None = None) -> Config:
    """
    The same without a look at models and seeds, for a process that reads neither: files may have gone since, and what
    was made of them is served all the same. Raises ``ConfigError``.
    """
    return _compose(document.endpoints, document.views, root, settings, None, converted=converted)


def load_views(path: Path) -> dict[str, ViewFile]:
    """The feature views of the folder, by name. Raises ``ConfigError``."""
    views, files = read_views(path.absolute(), ViewFile)
    made = _converted(views, "views", ViewFile)
    _check_seeds(made, ServedFolder(endpoints={}, view_files=files))
    return made


def load_settings(path: Path) -> Settings:
    """What ``lockgate.yaml`` of the folder says, or the defaults. Raises ``ConfigError``."""
    file = path / SETTINGS_FILE
    return read_yaml(file, Settings) if path.is_dir() and file.exists() else Settings()


def settings_of(raw: Mapping[str, Any]) -> Settings:
    """Settings that ``raw_settings`` has taken apart. Raises ``ConfigError``."""
    try:
        return convert(raw, Settings)
    except WrongValue as error:
        raise ConfigError(".".join(["settings", *error.keys]), str(error)) from error


def raw_settings(settings: Settings) -> dict[str, Any]:
    """For a process that is to go by the same settings. They may hold passwords."""
    raw: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    return raw


def _compose(
    endpoints: Mapping[str, Mapping[str, Any]],
    raw_views: Mapping[str, Mapping[str, Any]],
    root: Path,
    settings: Settings,
    origin: ServedFolder | None,
    *,
    converted: Converted | None = None,
) -> Config:
    """``origin``: an error about what was read from a file names the file."""
    views = _converted(raw_views, "views", ViewFile, converted)
    files = origin.endpoint_files if origin else {}
    if not endpoints:
        raise ConfigError("endpoints", "expected at least one")
    made = _converted(endpoints, "endpoints", EndpointConfig, converted)
    for endpoint in made.values():
        for name, deployment in endpoint.deployments.items():
            for source, wanted in deployment.features.items():
                if missing := _missing(wanted, views):
                    raise _wrong("endpoints", endpoint.name, files, f"deployments.{name}.features.{source}", missing)
    return Config(root=root, settings=settings, endpoints=made, views=views)


def _check_files(config: Config, origin: ServedFolder | None) -> None:
    files = origin.endpoint_files if origin else {}
    for endpoint in config.endpoints.values():
        for name, deployment in endpoint.deployments.items():
            if not deployment.model.exists():
                missing = f"{deployment.model} does not exist"
                raise _wrong("endpoints", endpoint.name, files, f"deployments.{name}.model", missing, kind=FilesMissing)
    _check_seeds(config.views, origin)


def _check_seeds(views: Mapping[str, ViewFile], origin: ServedFolder | None) -> None:
    files = origin.view_files if origin else {}
    for view in views.values():
        if view.seed is not None and not view.seed.is_file():
            raise _wrong("views", view.name, files, "seed", f"{view.seed} does not exist")


def _converted(
    raw: Mapping[str, Mapping[str, Any]], section: str, kind: type[T], converted: Converted | None = None
) -> dict[str, T]:
    made = {}
    converted = converted or Converted()
    converted.keep(raw.keys(), kind)  # also where something is refused: else refusals would pile up
    for name, data in raw.items():
        try:
            made[name] = converted.convert(name, data, kind)
        except WrongValue as error:
            raise ConfigError(".".join([section, name, *error.keys]), str(error)) from error
        if data["name"] != name:
            raise ConfigError(f"{section}.{name}.name", f'expected "{name}", got "{data["name"]}"')
    return made


def _missing(wanted: str, views: Mapping[str, ViewFile]) -> str:
    """What is wrong with a ``view:feature``; empty where it is there."""
    view, _, feature = wanted.partition(":")
    if view not in views:
        known = ", ".join(views) or f"none; a view is a file {FEATURES_FOLDER}/<view>.yaml"
        return f'no view "{view}", there is {known}'
    if feature not in views[view].positions:
        return f'view "{view}" has no feature "{feature}", it has {", ".join(views[view].positions)}'
    return ""


def _wrong(
    section: str,
    name: str,
    files: Mapping[str, Path],
    key: str,
    expected: str,
    *,
    kind: type[ConfigError] = ConfigError,
) -> ConfigError:
    if name in files:
        return kind(str(files[name]), f"{key}: {expected}")
    return kind(f"{section}.{name}.{key}", expected)
