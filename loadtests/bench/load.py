"""What one run of a load generator found, whichever generator it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Load", "Request"]


@dataclass(frozen=True, slots=True)
class Load:
    """One closed-loop run. ``errors``: answers other than the right one, and connections that failed."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The one request that a run repeats."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # holds the key
    answer_bytes: int = 0
    """Length of a right gRPC answer, framing included: a failed call has none, and that is how it is told."""
