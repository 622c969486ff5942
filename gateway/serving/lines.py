"""
Where the rows of each deployment wait, and what has been counted there.

Lines are found by the deployment itself, not by its name: a request that was routed before a change finds the line that
it was meant for. Figures go by the name: they go on when a deployment is replaced, and end when its name does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from gateway.core.catalog import Stats
from gateway.core.errors import NotReady
from gateway.core.request import Deployment
from gateway.dispatch.batcher import Batcher
from gateway.dispatch.counters import Counters

__all__ = ["Key", "Lines"]

Key = tuple[str, str]
"""Endpoint and deployment."""


class Lines:
    """Implements ``gateway.core.catalog.StatsSource``."""

    def __init__(self) -> None:
        self._batchers = _Batchers()
        self._counters: dict[Key, Counters] = {}
        self.of: Callable[[Deployment], Batcher] = self._batchers.__getitem__
        """Where its rows wait. Raises ``NotReady`` for a deployment that has left. Every request asks this."""

    def put(self, deployment: Deployment, batcher: Batcher) -> None:
        """Its rows wait there from now on."""
        self._batchers[deployment] = batcher

    def remove(self, deployment: Deployment) -> None:
        """Nobody is sent there any more."""
        self._batchers.pop(deployment, None)

    def counters(self, key: Key) -> Counters:
        """Of this name; made where there are none."""
        return self._counters.setdefault(key, Counters())

    def keep(self, keys: Collection[Key]) -> None:
        """Forget the figures of all other names."""
        for key in self._counters.keys() - set(keys):
            del self._counters[key]

    def stats(self, endpoint: str, deployment: str) -> Stats:
        counters = self._counters.get((endpoint, deployment))
        return counters.stats() if counters is not None else Stats()


class _Batchers(dict[Deployment, Batcher]):
    """Says what became of one that is not there."""

    def __missing__(self, deployment: Deployment) -> Batcher:
        raise NotReady(f"deployment {deployment.endpoint}/{deployment.name} was replaced")
