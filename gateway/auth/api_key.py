"""
API keys: long random strings, known to us only by their SHA-256 digest.

A key has 256 bits of entropy, so a plain digest is as good as a slow password hash, and looking one up costs about a
microsecond. The file holds names and digests; the keys themselves are shown once, when they are made.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

import msgspec

from gateway.core.access import Caller, Grant, Principal, Role
from gateway.core.errors import ConfigError, Forbidden, Unauthenticated

__all__ = ["ApiKey", "KeyRing", "digest", "new_key", "write_keys"]

PREFIX = "lg_"
"""Lets secret scanners recognise a key."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of one key."""

    name: str
    sha256: str
    """Hexadecimal digest of the whole key, prefix included."""
    endpoints: list[str] | None = None
    """Endpoints that it may score; null for all."""


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keys: list[ApiKey]


def new_key() -> str:
    """A fresh key: ``lg_`` and 43 characters of URL-safe base64."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """The form in which a key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def write_keys(path: Path, keys: list[ApiKey]) -> None:
    """Write the key file, readable by its owner only."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_KeyFile(keys=keys)), indent=2))


class KeyRing:
    """Who holds which key. Implements ``gateway.core.access.Access``."""

    def __init__(self, keys: list[ApiKey]) -> None:
        self._principals: dict[bytes, tuple[bytes, Principal]] = {}
        for key in keys:
            known = bytes.fromhex(key.sha256)
            endpoints = None if key.endpoints is None else frozenset(key.endpoints)
            self._principals[known] = (known, Principal(key.name, (Grant(frozenset({Role.SCORE}), endpoints),)))

    @classmethod
    def read(cls, path: Path) -> KeyRing:
        """Read a key file. Raises ``ConfigError``."""
        try:
            return cls(msgspec.json.decode(path.read_bytes(), type=_KeyFile).keys)
        except FileNotFoundError as error:
            raise ConfigError(str(path), "expected a key file") from error
        except (msgspec.MsgspecError, ValueError) as error:
            raise ConfigError(str(path), f"expected a key file: {error}") from error

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Access``. The credential is ``Bearer <key>``; the scheme's case does not matter (RFC 9110)."""
        credential = caller.credential
        if not credential:
            raise Unauthenticated("expected an Authorization header: Bearer <key>")
        scheme, _, key = credential.partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Unauthenticated("expected an Authorization header of the form: Bearer <key>")
        presented = hashlib.sha256(key.strip().encode()).digest()
        # Looked up by digest: how long that takes says nothing about the key itself.
        known = self._principals.get(presented)
        if known is None or not hmac.compare_digest(known[0], presented):
            raise Unauthenticated("the key is not valid here")
        principal = known[1]
        if not principal.may(role, endpoint):
            raise Forbidden(f'the key may not {role} endpoint "{endpoint}"' if endpoint else f"the key may not {role}")
        return principal
