"""docs/configuration.md names every setting that there is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from feature_cache.schema import Entity, FeastSource, Feature
from feature_cache.settings import CircuitSettings, LocalSettings, TlsSettings
from gateway.auth.config import AuthConfig, ClaimGrant, OidcConfig
from gateway.config import Settings
from gateway.control.control_config import ControlConfig
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.control.rollout_config import CompareConfig
from gateway.edge.config import EdgeConfig
from gateway.edge.tls import TlsConfig
from gateway.features.config import EmbeddedConfig, FeatureStoreConfig, ViewFile
from gateway.features.entra import EntraConfig
from gateway.limits.config import LimitsConfig
from gateway.pool.config import LinkTlsConfig, PoolConfig

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
SECTIONS = {
    "edge",
    "pool",
    "auth",
    "oidc",
    "limits",
    "tls",
    "features",
    "local",
    "circuit",
    "embedded",
    "entra",
    "feast",
    "compare",
    "control",
}
"""Classes of their own."""


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (EndpointConfig, ""),
        (CompareConfig, "compare."),
        (DeploymentConfig, ""),
        (Settings, ""),
        (EdgeConfig, "edge."),
        (TlsConfig, "edge.tls."),
        (PoolConfig, "pool."),
        (LinkTlsConfig, "pool.tls."),
        (AuthConfig, "auth."),
        (OidcConfig, "auth.oidc."),
        (ClaimGrant, ""),
        (LimitsConfig, "limits."),
        (ControlConfig, "control."),
        (FeatureStoreConfig, "features."),
        (EmbeddedConfig, "features.embedded."),
        (EntraConfig, "features.entra."),
        (LocalSettings, "features.local."),
        (CircuitSettings, "features.circuit."),
        (TlsSettings, "features.tls."),
        (ViewFile, ""),
        (Entity, ""),
        (Feature, ""),
        (FeastSource, "feast."),
    ],
)
def test_every_setting_is_on_the_page(kind: type[msgspec.Struct], prefix: str) -> None:
    missing = [name for name in kind.__struct_fields__ if name not in SECTIONS and f"`{prefix}{name}`" not in PAGE]

    assert missing == []
