"""Which view, and which store: what all commands of ``lockgate features`` have to know first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from feature_cache.credentials import CredentialProvider
from feature_cache.embedded import SOCKET
from feature_cache.errors import FeatureError
from gateway.config import load_settings, load_views
from gateway.core.errors import ConfigError
from gateway.features.config import FeatureStoreConfig, ViewFile

__all__ = ["FeatureTarget", "refused"]

_PATIENCE_MS = 5000.0
"""For one answer: a person waits longer than a request."""


@dataclass(frozen=True, slots=True)
class FeatureTarget:
    view: ViewFile
    store: FeatureStoreConfig

    @property
    def credentials(self) -> CredentialProvider | None:
        """What to show to the store. Raises ``ConfigError``."""
        return self.store.credentials(os.environ)

    @staticmethod
    def find(folder: Path, view: str, url: str | None, state_dir: Path) -> FeatureTarget:
        """
        The store: ``url``, else that of ``lockgate.yaml`` or REDIS_URL, else the one that a running ``lockgate serve``
        has brought along. Raises ``ConfigError``.
        """
        views = load_views(folder)
        if view not in views:
            known = ", ".join(views) or "none"
            raise ConfigError(
                str(folder / "features"), f'no view "{view}", there is {known}; --folder names another place'
            )
        settings = load_settings(folder).features
        try:
            settings = msgspec.structs.replace(settings, **({"url": url} if url else {})).with_url(os.environ)
            if not settings.url:
                socket = state_dir.resolve() / "run" / "store" / SOCKET
                if not socket.exists():
                    raise ConfigError(
                        "--url",
                        "expected the address of a store: none is configured, and no lockgate serve has one here",
                    )
                settings = msgspec.structs.replace(settings, url=f"unix://{socket}")
            quiet = msgspec.structs.replace(settings.local, max_rows=0)
            settings = msgspec.structs.replace(settings, timeout_ms=max(settings.timeout_ms, _PATIENCE_MS), local=quiet)
        except ValueError as error:
            raise ConfigError("features", str(error)) from error
        return FeatureTarget(views[view], settings)


def refused(error: FeatureError | OSError) -> ConfigError:
    """As an error of usage: one line, without a trace."""
    return ConfigError("features", str(error))
