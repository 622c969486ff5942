"""Settings of the feature store, and what a file ``features/<view>.yaml`` may say besides what a view is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from feature_cache.address import parse_url
from feature_cache.credentials import CredentialProvider
from feature_cache.schema import FeatureView
from feature_cache.settings import StoreSettings
from gateway.core.bounds import MEMORY_MB, expect_within
from gateway.features.entra import EntraConfig, EntraTokens

__all__ = ["EmbeddedConfig", "FeatureStoreConfig", "ViewFile"]

REDIS_URL = "REDIS_URL"


class EmbeddedConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The store that ``lockgate serve`` starts where views exist and no URL is set."""

    max_memory_mb: int = 256
    """When it is full, writes are refused."""
    keep: bool = False
    """Whether its rows are written to the state directory, and are there again after a restart."""

    def __post_init__(self) -> None:
        expect_within(self, 1, MEMORY_MB, "max_memory_mb")


class FeatureStoreConfig(StoreSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``features`` in ``lockgate.yaml``."""

    url: str = ""
    """Empty: the environment variable REDIS_URL, and without that a store of our own."""
    entra: EntraConfig | None = None
    """Whether to show tokens of Entra ID instead of the URL's user and password."""
    embedded: EmbeddedConfig = EmbeddedConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.url:
            address = parse_url(self.url)
            if self.entra is not None and (address.password is not None or not address.tls):
                raise ValueError("entra: expected a url that begins with rediss:// and has no password")

    def with_url(self, environment: Mapping[str, str]) -> FeatureStoreConfig:
        """These settings with the URL of the environment where they have none."""
        if self.url or not environment.get(REDIS_URL):
            return self
        return msgspec.structs.replace(self, url=environment[REDIS_URL])

    def credentials(self, environment: Mapping[str, str]) -> CredentialProvider | None:
        """What to show to the store; None for what the URL says. Raises ``ConfigError``."""
        return EntraTokens(self.entra, environment) if self.entra is not None else None


class ViewFile(FeatureView, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view as a served folder declares it."""

    seed: Path | None = None
    """A CSV or Parquet file that ``lockgate serve`` loads into its own store; other stores are never filled with it."""
    example: dict[str, int | str] = msgspec.field(default_factory=dict)
    """Entity → a value that exists: shown in API documents and printed by ``lockgate serve``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.example and self.example.keys() != {entity.name for entity in self.entities}:
            raise ValueError(f"example: expected a value for each of {', '.join(each.name for each in self.entities)}")
        for entity in self.entities:
            if entity.name in self.example:
                try:
                    entity.datatype.check(self.example[entity.name])
                except (TypeError, ValueError) as error:
                    raise ValueError(f"example: {entity.name}: {error}") from None
