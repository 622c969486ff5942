"""How a change of the desired state can fail, beside what ``gateway.control.source`` names."""

from __future__ import annotations

from gateway.core.errors import GatewayError

__all__ = ["ChangeRefused", "VersionRequired"]


class VersionRequired(GatewayError):
    """A change of something whole that does not say which version it was made for."""


class ChangeRefused(GatewayError):
    """It was written, but cannot be made real; what ran before goes on."""
