"""What an operator may set about who may call."""

from __future__ import annotations

from pathlib import Path

import msgspec

__all__ = ["AuthConfig"]


class AuthConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where keys come from besides the state directory, and how long tokens last."""

    keys_from: Path | None = None
    """A mounted secret: a folder of one file per key, or one JSON file; relative to the settings file."""
    token_lifetime_s: int = 3600
    """Of the tokens that endpoints with ``auth_mode: token`` take; what Azure ML's last."""
    token_leeway_s: int = 30
    """How far the clocks of gateways may be apart."""

    def __post_init__(self) -> None:
        if not 60 <= self.token_lifetime_s <= 86_400:
            raise ValueError(f"token_lifetime_s: expected 60 to 86400, got {self.token_lifetime_s}")
        if not 0 <= self.token_leeway_s <= 300:
            raise ValueError(f"token_leeway_s: expected 0 to 300, got {self.token_leeway_s}")
