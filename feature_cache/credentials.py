"""
Who we are to the store. Passwords stay; tokens end, and a connection must show a new one before that.

A provider is any async function that gives a ``Credential``; for Azure it asks Entra for a token of
``https://redis.azure.com/.default``, with the object id as user. It is called for each new connection and before
``expires_at``, so it should keep what it has while that is still good. It may raise
``Unavailable`` or ``OSError``; then the connection is tried again later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

__all__ = ["Credential", "CredentialProvider", "fixed", "renew_at"]


@dataclass(frozen=True, slots=True)
class Credential:
    """For AUTH. Never shows its password."""

    user: str | None
    password: str | None = field(repr=False)
    expires_at: float | None = None
    """On the monotonic clock; None: never."""


CredentialProvider = Callable[[], Awaitable[Credential]]


def fixed(user: str | None, password: str | None) -> CredentialProvider:
    """A user and password that do not change."""
    credential = Credential(user, password)

    async def provide() -> Credential:
        return credential

    return provide


def renew_at(credential: Credential, now: float) -> float | None:
    """When to show a new one: after three quarters of what is left of it."""
    return None if credential.expires_at is None else now + 0.75 * max(0.0, credential.expires_at - now)
