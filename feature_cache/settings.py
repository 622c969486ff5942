"""How the store is reached and what is kept of it: settings that check themselves."""

from __future__ import annotations

from pathlib import Path

import msgspec

from feature_cache.keys import DEFAULT_PREFIX

__all__ = ["CircuitSettings", "LocalSettings", "StoreSettings", "TlsSettings"]


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name}: expected {least} or more, got {value}")


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
        _at_least(0, max_rows=self.max_rows, max_bytes=self.max_bytes, last_known_ms=self.last_known_ms)
        _at_least(1, ttl_ms=self.ttl_ms)


class CircuitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a store that does not answer is left alone, and for how long."""

    failures: int = 5
    """Round trips in a row that failed or took too long."""
    open_ms: int = 100
    """Until it is asked again, by a PING; doubled each time that is not answered."""
    max_open_ms: int = 2_000

    def __post_init__(self) -> None:
        _at_least(1, failures=self.failures, open_ms=self.open_ms)
        _at_least(self.open_ms, max_open_ms=self.max_open_ms)


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
        if not self.timeout_ms > 0:
            raise ValueError(f"timeout_ms: expected more than 0, got {self.timeout_ms}")
        _at_least(1, connections=self.connections, max_rows_in_flight=self.max_rows_in_flight)
        _at_least(1, connect_timeout_ms=self.connect_timeout_ms, ping_ms=self.ping_ms)
        _at_least(1, min_backoff_ms=self.min_backoff_ms)
        _at_least(self.min_backoff_ms, max_backoff_ms=self.max_backoff_ms)
