"""What a user writes about how traffic is split and how a mirror is judged: keys of ``endpoints/<name>.yaml``."""

from __future__ import annotations

import re
from math import isfinite

import msgspec

__all__ = ["CompareConfig", "StickyConfig"]

_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110, in lower case, as headers are looked up here."""


class StickyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests with the same key get the same deployment. Exactly one of the three says what the key is."""

    header: str | None = None
    """The value of this HTTP header or gRPC metadata key, in lower case."""
    column: str | None = None
    """The value of this column in the first row; then the body is decoded before a deployment is chosen."""
    principal: bool = False
    """The caller's name."""

    def __post_init__(self) -> None:
        if (self.header is not None) + (self.column is not None) + self.principal != 1:
            raise ValueError("sticky: expected one of header, column and principal: true")
        if self.header is not None and (not _HEADER.fullmatch(self.header) or self.header == "authorization"):
            raise ValueError(f'sticky.header: expected the name of a header in lower case, got "{self.header}"')
        if self.column == "":
            raise ValueError("sticky.column: expected the name of a column")


class CompareConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When two answers agree, and what is kept of those that do not."""

    absolute: float = 1e-8
    """Two numbers agree when they differ by at most ``absolute + relative × |the primary's|``."""
    relative: float = 1e-5
    replay_percent: int = 1
    """Of the mirrored requests, how many are sent to the primary a second time, to see how much it differs from itself,
    once it was asked a first number of them; 0 is none at all. Never to a deployment that is not idempotent."""
    worst_rows: int = 20
    """Rows kept of each pair of deployments, those that differ most; 0 keeps none."""
    keep_inputs: bool = False
    """Whether their inputs are kept too, and shown to who holds ``deploy`` on the endpoint."""

    def __post_init__(self) -> None:
        for field in ("absolute", "relative"):
            value = getattr(self, field)
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"compare.{field}: expected 0 or more, got {value}")
        if not 0 <= self.replay_percent <= 100:
            raise ValueError(f"compare.replay_percent: expected 0 to 100, got {self.replay_percent}")
        if not 0 <= self.worst_rows <= 1000:
            raise ValueError(f"compare.worst_rows: expected 0 to 1000, got {self.worst_rows}")
