"""The servers of a store, as its settings name them: one, a cluster, or whoever the sentinels say."""

from __future__ import annotations

from collections.abc import Callable

from feature_cache.address import parse_url
from feature_cache.cluster import Cluster
from feature_cache.counters import Counters
from feature_cache.credentials import CredentialProvider, fixed
from feature_cache.dial import Dialer, tls_context
from feature_cache.node import Node
from feature_cache.settings import StoreSettings
from feature_cache.topology import Standalone, Topology

__all__ = ["topology_of"]


def topology_of(
    settings: StoreSettings,
    credentials: CredentialProvider | None,
    counters: Counters,
    *,
    clock: Callable[[], float],
    random: Callable[[], float],
) -> Topology:
    """Nothing is connected to before it runs. Without ``credentials`` those of the URL count."""
    address, timeout = parse_url(settings.url), settings.connect_timeout_ms / 1000
    dialer = Dialer(
        clock=clock,
        tls=tls_context(settings.tls) if address.tls else None,
        credentials=credentials or fixed(address.user, address.password),
        db=address.db,
        timeout=timeout,
        must_be_master=address.kind == "sentinel",
    )

    def make_node(name: str, **resolve: object) -> Node:
        return Node(name, dialer=dialer, settings=settings, counters=counters, random=random, **resolve)  # type: ignore[arg-type]

    if address.kind == "cluster":
        return Cluster(address, make_node, dialer)
    if address.kind == "sentinel":
        from feature_cache.sentinel import SentinelMaster

        return SentinelMaster(address, make_node, timeout=timeout)
    return Standalone(address, make_node)
