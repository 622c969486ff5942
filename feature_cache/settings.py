"""How the store is reached and what is kept of it: settings that check themselves."""

from __future__ import annotations

from pathlib import Path

import msgspec

from feature_cache.keys import DEFAULT_PREFIX

__all__ = ["CircuitSettings", "LocalSettings", "StoreSettings", "TlsSettings"]


_DAY_MS = 86_400_000
"""Of every wait and every pause."""
_YEAR_MS = 365 * _DAY_MS
"""How long what was read counts."""
_MOST_ROWS = 10_000_000
"""Bounds are so far out that nobody who means it comes near, and near enough that one can wait or count by them."""


def _within(least: int, most: int, **values: float) -> None:
    for name, value in values.items():
        if not least <= value <= most:
            raise ValueError(f"{name}: expected {least} to {most}, got {value}")


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of ``rediss://``. Without a file the system's authorities count."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("cert_file: expected beside key_file")


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The copy within the process."""

    max_rows: int = 100_000
    """0: no copy."""
    max_bytes: int = 64 * 2**20
    ttl_ms: int = 60_000
    """The backstop: a row is read again after this even if no invalidation came."""
    last_known_ms: int = 60_000
    """How long after losing the store its last known rows are used, where a feature's policy is ``stale_ok``."""

    def __post_init__(self) -> None:
        _within(0, 10 * _MOST_ROWS, max_rows=self.max_rows)
        _within(0, 2**40, max_bytes=self.max_bytes)
        _within(0, _YEAR_MS, last_known_ms=self.last_known_ms)
        _within(1, _YEAR_MS, ttl_ms=self.ttl_ms)


class CircuitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a store that does not answer is left alone, and for how long."""

    failures: int = 5
    """Round trips in a row that failed or took too long."""
    open_ms: int = 100
    """Until it is asked again, by a PING; doubled each time that is not answered."""
    max_open_ms: int = 2_000

    def __post_init__(self) -> None:
        _within(1, 1_000_000, failures=self.failures)
        _within(1, _DAY_MS, open_ms=self.open_ms, max_open_ms=self.max_open_ms)
        if self.max_open_ms < self.open_ms:
            raise ValueError(f"max_open_ms: expected at least open_ms ({self.open_ms}), got {self.max_open_ms}")


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One store: a server, a master that Sentinels know, or a cluster."""

    url: str
    """``redis://``, ``rediss://``, ``unix://``, each also as ``+sentinel`` or ``+cluster``; see ``address``."""
    prefix: str = DEFAULT_PREFIX
    """What our own keys begin with."""
    timeout_ms: float = 5.0
    """For one read. A caller's deadline can only shorten it."""
    connections: int = 2
    """To each server."""
    max_rows_in_flight: int = 20_000
    """Rows asked for and not answered; a read beyond them fails at once."""
    connect_timeout_ms: int = 2_000
    ping_ms: int = 1_000
    """Between health checks, and how long one may take: so a dead connection is noticed within twice this."""
    min_backoff_ms: int = 20
    max_backoff_ms: int = 1_000
    tls: TlsSettings = TlsSettings()
    local: LocalSettings = LocalSettings()
    circuit: CircuitSettings = CircuitSettings()

    def __post_init__(self) -> None:
        if not 0 < self.timeout_ms <= _DAY_MS:
            raise ValueError(f"timeout_ms: expected more than 0, at most {_DAY_MS}, got {self.timeout_ms}")
        _within(1, 1024, connections=self.connections)
        _within(1, _MOST_ROWS, max_rows_in_flight=self.max_rows_in_flight)
        _within(1, _DAY_MS, connect_timeout_ms=self.connect_timeout_ms, ping_ms=self.ping_ms)
        _within(1, _DAY_MS, min_backoff_ms=self.min_backoff_ms, max_backoff_ms=self.max_backoff_ms)
        if self.max_backoff_ms < self.min_backoff_ms:
            raise ValueError(
                f"max_backoff_ms: expected at least min_backoff_ms ({self.min_backoff_ms}), got {self.max_backoff_ms}"
            )
