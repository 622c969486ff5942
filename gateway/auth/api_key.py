"""
API keys: long random strings, known to us only by their SHA-256 digest.

A key has 256 bits of entropy, so a plain digest is as good as a slow password hash, and looking one up costs about a
microsecond. What is kept of a key is its name, its digest and what it may do; the key itself is shown once, when it is
made.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal, TypeAlias

import msgspec

from gateway.core.access import Grant, Principal, Role

__all__ = ["LATEST", "PREFIX", "SLOTS", "ApiKey", "Slot", "digest", "new_key", "slot_name", "slot_of"]

PREFIX = "lg_"
"""Lets secret scanners recognise a key."""

Slot: TypeAlias = Literal["primary", "secondary"]
SLOTS: tuple[Slot, Slot] = ("primary", "secondary")
"""Each endpoint has two keys of its own, so that callers can move to one while the other is made anew."""

LATEST = 253_402_300_799
"""The last second of the year 9999. Whoever says a later one means milliseconds, and a key that never ends."""

_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,79}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept of one key. Times are Unix seconds."""

    name: str
    """Stands in the log; unique."""
    sha256: str
    """Hexadecimal digest of the whole key, prefix included."""
    endpoints: list[str] | None = None
    """Endpoints that the roles are for; null for all."""
    roles: tuple[Role, ...] = (Role.SCORE,)
    created: int = 0
    expires: int | None = None
    """When it stops being valid; null for never."""

    def __post_init__(self) -> None:
        # Whoever mistakes the key for its name must not find it in a log.
        if self.name.startswith(PREFIX) or not _NAME.fullmatch(self.name):
            raise ValueError("name: expected up to 80 letters, digits, dots or dashes, and no key")
        if not _DIGEST.fullmatch(self.sha256):
            raise ValueError("sha256: expected 64 hexadecimal digits in lower case")
        if not self.roles:
            raise ValueError("roles: expected at least one")

    @property
    def principal(self) -> Principal:
        """Who holds it."""
        endpoints = None if self.endpoints is None else frozenset(self.endpoints)
        return Principal(self.name, (Grant(frozenset(self.roles), endpoints),), "key")


def new_key() -> str:
    """A fresh key: ``lg_`` and 43 characters of URL-safe base64."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """The form in which a key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def slot_name(endpoint: str, slot: Slot) -> str:
    """The name of one of an endpoint's two keys; endpoints have no dot in their names."""
    return f"{endpoint}.{slot}"


def slot_of(name: str) -> tuple[str, Slot] | None:
    """The endpoint and slot that such a name stands for."""
    endpoint, _, slot = name.rpartition(".")
    return next(((endpoint, known) for known in SLOTS if known == slot and endpoint), None)
