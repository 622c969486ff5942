"""
The features of all deployments: what each takes from the store, as far as its model has told what it takes at all.

One of these belongs to one configuration and never changes. Whoever serves by another configuration has another one.
"""

from __future__ import annotations

from collections.abc import Mapping

from feature_cache.store import FeatureStore
from gateway.control.endpoints import EndpointConfig
from gateway.core.request import Deployment
from gateway.core.signature import Signature
from gateway.features.assemble import Assembler
from gateway.features.bind import Binding, bind, check_sources
from gateway.features.config import ViewFile
from gateway.features.lookup import Completer
from gateway.features.open_store import Readers

__all__ = ["Bindings", "check_bindings"]


def check_bindings(endpoints: Mapping[str, EndpointConfig], views: Mapping[str, ViewFile]) -> None:
    """What can be told before any model is loaded. Raises ``ConfigError``."""
    for endpoint in endpoints.values():
        for name, deployment in endpoint.deployments.items():
            check_sources(f"{endpoint.name}/{name}", deployment.features, views)


class Bindings:
    """Of one gateway process. ``readers`` are those of ``store``."""

    def __init__(
        self,
        endpoints: Mapping[str, EndpointConfig],
        views: Mapping[str, ViewFile],
        store: FeatureStore,
        readers: Readers | None = None,
    ) -> None:
        self._endpoints, self._views, self._store, self._readers = endpoints, views, store, readers

    def bind(self, endpoint: str, name: str, model: Signature) -> Binding | None:
        """None for a deployment without features. Raises ``ConfigError`` for features that do not fit its model."""
        features = self._endpoints[endpoint].deployments[name].features
        return bind(f"{endpoint}/{name}", model, features, self._views) if features else None

    def completer(self, deployment: Deployment, assembler: Assembler) -> Completer | None:
        """None for a deployment without features."""
        if deployment.model_signature is None:
            return None
        binding = self.bind(deployment.endpoint, deployment.name, deployment.model_signature)
        return None if binding is None else Completer(binding, assembler, self._store, readers=self._readers)
