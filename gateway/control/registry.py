"""
What is served and what of it can serve: immutable states, replaced whole, so that nobody sees half a change.

Whoever runs the deployments installs new states here; whoever needs a consistent view (the edge, the metrics) takes
them, and is told when they changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.core.catalog import EndpointState
from gateway.core.errors import NotFound

__all__ = ["Registry"]


class Registry:
    """Implements ``gateway.core.catalog.Catalog``."""

    def __init__(self, endpoints: Sequence[EndpointState] = ()) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._endpoints = tuple(endpoints)
        self._by_name = {state.name: state for state in endpoints}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every ``install``."""
        self._listeners.append(listener)

    def install(self, endpoints: Sequence[EndpointState]) -> None:
        """Whoever asks from now on is told of these."""
        self._endpoints = tuple(endpoints)
        self._by_name = {state.name: state for state in endpoints}
        for listener in self._listeners:
            listener()

    def endpoints(self) -> Sequence[EndpointState]:
        return self._endpoints

    def endpoint(self, name: str | None) -> EndpointState:
        if name is None:
            if len(self._endpoints) == 1:
                return self._endpoints[0]
            raise NotFound(f"name an endpoint: {', '.join(self._by_name)}")
        state = self._by_name.get(name)
        if state is None:
            raise NotFound(f'no endpoint "{name}" here')
        return state

    @property
    def is_ready(self) -> bool:
        """Whether every deployment with traffic can serve."""
        return all(
            state.is_ready
            for endpoint in self._endpoints
            if endpoint.is_loaded
            for state in endpoint.deployments.values()
            if state.weight > 0
        )
