"""
All settings, composed from the classes that live beside what they configure.

A served folder holds ``endpoints/*.yaml``, ``features/*.yaml`` where models take features from a store, and
``lockgate.yaml`` if anything of the defaults is to change. A single model (a model folder, ``.rds`` or ``.onnx`` file)
can be served without all of them: it becomes one endpoint named after it. Unknown keys, wrong types and models that
are not there are errors that name the file, the line and what was expected; nothing is started then.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from gateway.auth.config import AuthConfig
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.control.yaml_file import read_yaml
from gateway.core.errors import ConfigError
from gateway.edge.config import EdgeConfig
from gateway.features.config import FeatureStoreConfig, ViewFile
from gateway.limits.config import LimitsConfig
from gateway.pool.config import PoolConfig

__all__ = ["Config", "Settings", "load", "load_settings", "load_views"]

SETTINGS_FILE = "lockgate.yaml"
ENDPOINTS_FOLDER = "endpoints"
FEATURES_FOLDER = "features"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``lockgate.yaml`` may say."""

    edge: EdgeConfig = EdgeConfig()
    pool: PoolConfig = PoolConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    features: FeatureStoreConfig = FeatureStoreConfig()
    gateways: int = 1
    """Gateway processes; they share the ports."""
    admin_port: int = 8445
    """Loopback only."""
    drain_ms: int = 10_000
    """How long accepted work may take after SIGTERM."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        if not 1 <= self.gateways <= 64:
            raise ValueError(f"gateways: expected 1 to 64, got {self.gateways}")
        if not 0 <= self.admin_port <= 65535:
            raise ValueError(f"admin_port: expected 0 to 65535, got {self.admin_port}")
        if self.auth.certificates and self.edge.tls.client_auth == "none":
            raise ValueError("auth: expected edge.tls.client_auth optional or required where there are certificates")
        if self.drain_ms < 0:
            raise ValueError(f"drain_ms: expected 0 or more, got {self.drain_ms}")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was configured."""

    root: Path
    """What was served: the folder, or the single model."""
    settings: Settings
    endpoints: dict[str, EndpointConfig]
    views: dict[str, ViewFile] = {}
    """Feature views by name."""


def load(path: Path) -> Config:
    """Read and check the folder or single model at ``path``. Raises ``ConfigError``."""
    path = path.resolve()
    if not path.exists():
        raise ConfigError(str(path), "no such file or folder")
    folder = path / ENDPOINTS_FOLDER
    if not folder.is_dir():
        return Config(root=path, settings=load_settings(path), endpoints=_single(path))
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not files:
        raise ConfigError(str(folder), "expected at least one endpoint file (*.yaml)")
    views = load_views(path)
    endpoints: dict[str, EndpointConfig] = {}
    for file in files:
        endpoint = read_yaml(file, EndpointConfig)
        if endpoint.name in endpoints:
            raise ConfigError(str(file), f'endpoint "{endpoint.name}" is defined in another file too')
        for name, deployment in endpoint.deployments.items():
            if not deployment.model.exists():
                raise ConfigError(str(file), f"deployments.{name}.model: {deployment.model} does not exist")
            for source, wanted in deployment.features.items():
                _check_source(file, f"deployments.{name}.features.{source}", wanted, views)
        endpoints[endpoint.name] = endpoint
    return Config(root=path, settings=load_settings(path), endpoints=endpoints, views=views)


def load_views(path: Path) -> dict[str, ViewFile]:
    """The feature views of the folder, by name. Raises ``ConfigError``."""
    views: dict[str, ViewFile] = {}
    folder = path / FEATURES_FOLDER
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        view = read_yaml(file, ViewFile)
        if view.name in views:
            raise ConfigError(str(file), f'view "{view.name}" is defined in another file too')
        if view.seed is not None and not view.seed.is_file():
            raise ConfigError(str(file), f"seed: {view.seed} does not exist")
        views[view.name] = view
    return views


def load_settings(path: Path) -> Settings:
    """What ``lockgate.yaml`` of the folder says, or the defaults. Raises ``ConfigError``."""
    file = path / SETTINGS_FILE
    return read_yaml(file, Settings) if path.is_dir() and file.exists() else Settings()


def _check_source(file: Path, where: str, wanted: str, views: dict[str, ViewFile]) -> None:
    view, _, feature = wanted.partition(":")
    if view not in views:
        known = ", ".join(views) or f"none; a view is a file {FEATURES_FOLDER}/<view>.yaml"
        raise ConfigError(str(file), f'{where}: no view "{view}", there is {known}')
    if feature not in views[view].positions:
        raise ConfigError(
            str(file), f'{where}: view "{view}" has no feature "{feature}", it has {", ".join(views[view].positions)}'
        )


def _single(path: Path) -> dict[str, EndpointConfig]:
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
    return {name: EndpointConfig(name=name, deployments={"blue": DeploymentConfig(model=path)})}
