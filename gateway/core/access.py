"""Who may do what: the question the edge asks before it shows anything, and the auth stage asks per request."""

from __future__ import annotations

from typing import Protocol

from gateway.core.request import Principal

__all__ = ["Access"]


class Access(Protocol):
    """Turns a credential into a principal."""

    async def __call__(self, credential: str | None, endpoint: str | None) -> Principal:
        """
        ``credential`` is the value of the ``Authorization`` header; ``endpoint`` None asks for what is not of one
        endpoint, such as a list of models. Raises ``Unauthenticated`` or ``Forbidden``.
        """
        ...
