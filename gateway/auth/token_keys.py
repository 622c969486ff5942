"""
The keys that sign tokens: ``token-keys.json`` in the state directory, readable by its owner only.

The newest key signs; the ones before it verify until every token that they signed has expired, so that turning the key
over disturbs nobody. Whoever fears that a key was stolen takes the old ones out at once. Every gateway follows the
file, and looks at it at once when a token names a key that it does not know.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.auth.followed import Followed
from gateway.auth.sealed_file import locked, stamp, write_sealed
from gateway.core.errors import ConfigError

__all__ = ["LONGEST", "TokenKey", "TokenKeys", "rotate_token_key", "signing_key"]

log = structlog.get_logger()

LONGEST = 86_400 + 300
"""Seconds: no token lives longer, leeway included."""
_MOST = 16
"""Keys that are kept; turning them over more often than that in a day takes the oldest tokens out early."""


class _StoredKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kid: str
    private: str
    """PKCS#8 in PEM."""
    created: int
    """Unix seconds."""


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token_keys: list[_StoredKey]
    """Newest last."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The key that signs."""

    kid: str
    private: ec.EllipticCurvePrivateKey = field(repr=False)


def signing_key(path: Path, now: float) -> TokenKey:
    """The newest key of the file; makes the first one. Blocks for a moment. Raises ``ConfigError``."""
    stored = _read(path)
    if not stored:
        with locked(path):
            stored = _read(path)
            if not stored:
                stored = [_new_key(now)]
                _write(path, stored)
    newest = stored[-1]
    return TokenKey(newest.kid, _private(path, newest))


def rotate_token_key(path: Path, now: float, *, keep_old: bool = True) -> str:
    """A new key signs from now on; its ``kid``. Without ``keep_old`` no token of before is valid any more."""
    with locked(path):
        stored = _read(path) if keep_old else []
        # A key is superseded when the next one is made; from then on its last token has LONGEST to live.
        superseded = [*(after.created for after in stored[1:]), int(now)]
        stored = [key for key, end in zip(stored, superseded, strict=False) if end + LONGEST > now]
        stored = [*stored[-(_MOST - 1) :], _new_key(now)]
        _write(path, stored)
    return stored[-1].kid


class TokenKeys:
    """The public halves, as the file says now. ``on_change`` is called when a key has gone or come."""

    def __init__(self, path: Path, on_change: Callable[[], None]) -> None:
        self._path, self._on_change = path, on_change
        self._followed = Followed(lambda: stamp(path))
        self._public = self._read()

    def find(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        """The key that such a token must have been signed with."""
        # Only where it is another one: to read a file that is refused is no work for strangers to order.
        if kid not in self._public and stamp(self._path) != self._followed.seen:
            self.refresh()
        return self._public.get(kid)

    def refresh(self) -> bool:
        """Take over what has changed; whether anything had. A file that cannot be read is refused and logged."""
        if not self._followed.is_due():
            return False
        try:
            self._public = self._read()
        except ConfigError as refusal:
            if self._followed.refused(str(refusal)):
                log.error("auth.token_keys_refused", reason=str(refusal), kept=len(self._public))
            return False
        self._followed.taken()
        log.info("auth.token_keys_changed", kids=list(self._public))
        self._on_change()
        return True

    def _read(self) -> dict[str, ec.EllipticCurvePublicKey]:
        return {key.kid: _private(self._path, key).public_key() for key in _read(self._path)}


def _read(path: Path) -> list[_StoredKey]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_KeyFile).token_keys
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError:
        raise ConfigError(str(path), "expected a file of token keys") from None


def _write(path: Path, keys: list[_StoredKey]) -> None:
    write_sealed(path, msgspec.json.format(msgspec.json.encode(_KeyFile(token_keys=keys)), indent=2) + b"\n")


def _private(path: Path, key: _StoredKey) -> ec.EllipticCurvePrivateKey:
    try:
        private = serialization.load_pem_private_key(key.private.encode(), None)
    except (ValueError, TypeError):
        private = None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise ConfigError(str(path), f'expected keys on P-256, and "{key.kid[:32]}" is none')
    return private


def _new_key(now: float) -> _StoredKey:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _StoredKey(kid=secrets.token_hex(8), private=pem.decode(), created=int(now))
