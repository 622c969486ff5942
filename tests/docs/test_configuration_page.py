"""docs/configuration.md names every setting that there is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.auth.config import AuthConfig
from gateway.config import Settings
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.edge.config import EdgeConfig
from gateway.edge.tls import TlsConfig
from gateway.pool.config import PoolConfig

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
SECTIONS = {"edge", "pool", "auth", "tls"}
"""Classes of their own."""


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (EndpointConfig, ""),
        (DeploymentConfig, ""),
        (Settings, ""),
        (EdgeConfig, "edge."),
        (TlsConfig, "edge.tls."),
        (PoolConfig, "pool."),
        (AuthConfig, "auth."),
    ],
)
def test_every_setting_is_on_the_page(kind: type[msgspec.Struct], prefix: str) -> None:
    missing = [name for name in kind.__struct_fields__ if name not in SECTIONS and f"`{prefix}{name}`" not in PAGE]

    assert missing == []
