"""What can go wrong only where bytes come in; ``gateway.core.errors`` holds the rest."""

from __future__ import annotations

from gateway.core.errors import InvalidInput

__all__ = ["HeaderTooLarge", "SlowRequest"]


class HeaderTooLarge(InvalidInput):
    """A header, the request line or all headers together are longer than they may be."""


class SlowRequest(InvalidInput):
    """The headers or the body did not arrive in the time that there is for them."""
