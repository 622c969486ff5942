"""
Loading and unloading whole models, as the Open Inference Protocol's repository asks for it.

Whoever serves requests does not decide what is served: it passes the wish on, in the caller's name, and tells how it
ended. The edge sees this protocol; who is behind it is put together elsewhere.
"""

from __future__ import annotations

from typing import Protocol

from gateway.core.access import Caller

__all__ = ["Repository"]


class Repository(Protocol):
    """
    ``load`` and ``unload`` return when every process has done it, and raise ``GatewayError``: ``NotFound``,
    ``NotReady`` when nobody can be asked, or why it was refused.
    """

    async def check(self, model: str, caller: Caller) -> None:
        """
        Whether the caller may do either: asked before anything else of the request is looked at.

        Raises ``Unauthenticated`` or ``Forbidden``.
        """

    async def load(self, model: str, caller: Caller) -> None:
        """Give the endpoint its workers. Of one that has them, the model's files are read again."""

    async def unload(self, model: str, caller: Caller) -> None:
        """Take the endpoint's workers away."""
