"""What the command line of ``lockgate serve`` and ``lockgate gateway`` says instead of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import Config, Settings
from gateway.core.errors import ConfigError

__all__ = ["ServeOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The command line; None leaves a setting as configured."""

    path: Path
    state_dir: Path
    host: str | None = None
    port: int | None = None
    grpc_port: int | None = None
    admin_port: int | None = None
    gateways: int | None = None

    def apply(self, config: Config) -> Config:
        """The configuration with what the command line says instead. Raises ``ConfigError``."""
        return msgspec.structs.replace(config, settings=self.settings(config.settings))

    def settings(self, settings: Settings) -> Settings:
        """The settings alone, likewise."""
        edge = {"host": self.host, "http_port": self.port, "grpc_port": self.grpc_port}
        top = {"admin_port": self.admin_port, "gateways": self.gateways}
        try:
            return msgspec.structs.replace(
                settings, edge=msgspec.structs.replace(settings.edge, **_given(edge)), **_given(top)
            )
        except ValueError as error:
            raise ConfigError("command line", str(error)) from error


def _given(values: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
