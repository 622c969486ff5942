"""What happened so far, in whole numbers that only grow; whoever exports them reads the fields."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Of one store. Plain attributes, because they are counted for every row."""

    hits: int = 0
    """Rows answered from the local copy."""
    misses: int = 0
    """Rows that were asked of the store, or that somebody else was asking for already."""
    joined: int = 0
    """Misses that shared another's fetch."""
    fetched: int = 0
    """Rows that the store was asked for."""
    round_trips: int = 0
    not_found: int = 0
    corrupt: int = 0
    stale: int = 0
    """Features older than their view allows, or last known ones used while the store was gone."""
    last_known: int = 0
    """Rows answered with what was known before the store was lost."""
    unavailable: int = 0
    """Rows that nothing could be said about."""
    timeouts: int = 0
    """Reads whose time ran out."""
    late: int = 0
    """Round trips without an answer in time."""
    refused: int = 0
    """Commands that the store answered with an error."""
    redirects: int = 0
    """Answers of a cluster that sent us to another node."""
    invalidations: int = 0
    """Keys that the store said have changed."""
    flushes: int = 0
    """Times that the local copy was dropped whole."""
    evictions: int = 0
    connects: int = 0
    connection_failures: int = 0
    circuit_opened: int = 0
