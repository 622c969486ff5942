"""What an operator may set about how much one caller gets: the part of ``lockgate.yaml`` under ``limits``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.core.bounds import DAY_S, MOST_CALLS, MOST_ROWS, expect_within

__all__ = ["CallerLimits", "LimitsConfig"]

_RATES = ("requests_per_s", "rows_per_s", "bytes_per_s")
_FASTEST = 10**12
"""A second: more than any network card brings, and a burst of it is still counted exactly."""


class CallerLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one caller may use in one gateway process, or in all of them with ``limits.redis_url``. 0: no limit."""

    requests_per_s: float = 0.0
    rows_per_s: float = 0.0
    """Charged when the rows are known; who has used more than there is waits before the next request."""
    bytes_per_s: float = 0.0
    """Of request bodies, charged likewise."""
    burst_s: float = 1.0
    """So many seconds' worth may come at once after a pause."""
    concurrent: int = 0
    """Requests at the same time; always counted by each process for itself."""

    def __post_init__(self) -> None:
        expect_within(self, 0, _FASTEST, *_RATES)
        expect_within(self, 0, MOST_CALLS, "concurrent")
        expect_within(self, 0, 3600, "burst_s", is_above=True)

    @property
    def rates(self) -> tuple[float, float, float]:
        """Requests, rows and bytes a second."""
        return self.requests_per_s, self.rows_per_s, self.bytes_per_s

    @property
    def is_set(self) -> bool:
        """Whether anything is limited."""
        return self.concurrent > 0 or any(self.rates)


class LimitsConfig(CallerLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of every caller, and exceptions. An exception stands alone: what it leaves out has no limit."""

    callers: dict[str, CallerLimits] = {}
    """By the caller's name (of its key, certificate or token)."""
    endpoints: dict[str, CallerLimits] = {}
    """What each caller may use of one endpoint, counted apart from the rest; a caller's own exception goes first."""
    max_callers: int = 10_000
    """Whose use is remembered; beyond it the one who has been away longest is forgotten."""
    redis_url: str = ""
    """A Redis or Valkey that all gateways share: then the rates hold for all of them together."""
    redis_url_file: Path | None = None
    """The same from a file, for an address with a password in it."""
    login_failures: int = 200
    """Failed logins of one address before further failures are answered with 429; 0 turns this off."""
    login_window_s: float = 60.0
    """In which so many are forgiven."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_within(self, 1, MOST_ROWS, "max_callers")
        if self.redis_url and self.redis_url_file is not None:
            raise ValueError("redis_url: expected either redis_url or redis_url_file")
        if self.redis_url and not self.redis_url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("redis_url: expected an address that begins with redis://, rediss:// or unix://")
        expect_within(self, 0, MOST_CALLS, "login_failures")
        expect_within(self, 0, DAY_S, "login_window_s", is_above=True)

    @property
    def limits_anybody(self) -> bool:
        """Whether requests have to pass the limits at all."""
        return any(each.is_set for each in self._all)

    @property
    def limits_rows(self) -> bool:
        """Whether rows have to be charged to anybody."""
        return any(each.rows_per_s for each in self._all)

    @property
    def _all(self) -> tuple[CallerLimits, ...]:
        return (self, *self.callers.values(), *self.endpoints.values())
