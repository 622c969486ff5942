"""What can go wrong only where bytes come in; ``gateway.core.errors`` holds the rest."""

from __future__ import annotations

from gateway.core.errors import InvalidInput

__all__ = ["HeaderTooLarge", "SlowRequest"]


class HeaderTooLarge(InvalidInput):
    """A header that is longer than its meaning allows."""


class SlowRequest(InvalidInput):
    """The body did not arrive within the read timeout."""
