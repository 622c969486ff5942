"""
Tokens for one endpoint: short-lived, signed here, checked without asking anybody.

Whoever may manage an endpoint's keys gets tokens for its callers; what a token says of itself (its algorithm, where
its key is) decides nothing. A token costs a signature check once; the verdict is kept under the token's SHA-256 digest
until it expires, and all verdicts go when a signing key does.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

import jwt

from gateway.auth.bearer import bearer, forbidden, invalid
from gateway.auth.token_keys import TokenKey, TokenKeys
from gateway.core.access import Caller, Grant, Principal, Role
from gateway.core.errors import Unauthenticated

__all__ = ["IssuedToken", "TokenAccess", "is_of_lockgate", "issue_token"]

_ALGORITHM = "ES256"
_ISSUER = "lockgate"
_LONGEST = 2048
"""Characters: ours have some four hundred."""
_VERDICTS = 10_000
_ROLES = frozenset({Role.SCORE})


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """In Azure ML's words. Times are Unix seconds."""

    accessToken: str  # noqa: N815
    expiryTimeUtc: int  # noqa: N815
    refreshAfterTimeUtc: int  # noqa: N815
    tokenType: str = "Bearer"  # noqa: N815  # the scheme's name


def issue_token(key: TokenKey, endpoint: str, subject: str, *, now: float, lifetime: int) -> IssuedToken:
    """A token with which ``endpoint`` can be scored; ``subject`` is who asked for it, and stands in the log."""
    issued = int(now)
    claims = {
        "iss": _ISSUER,
        "aud": endpoint,
        "sub": subject,
        "iat": issued,
        "exp": issued + lifetime,
        "jti": secrets.token_hex(8),
    }
    text = jwt.encode(claims, key.private, _ALGORITHM, headers={"kid": key.kid})
    return IssuedToken(text, issued + lifetime, issued + lifetime // 2)


class TokenAccess:
    """Implements ``gateway.core.access.Access`` for such tokens. ``clock`` gives Unix seconds."""

    def __init__(self, path: Path, *, clock: Callable[[], float], leeway: float, verdicts: int = _VERDICTS) -> None:
        self._verdicts: OrderedDict[bytes, tuple[float, str, Principal]] = OrderedDict()
        """Digest → when it ends, for which endpoint, and who it is."""
        self._keys = TokenKeys(path, self._verdicts.clear)
        self._clock, self._leeway, self._most = clock, leeway, verdicts

    def refresh(self) -> bool:
        """Take over changed keys; whether there were any."""
        return self._keys.refresh()

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Access``."""
        return self.judge(caller, endpoint, role)

    def judge(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """The same at once."""
        token = bearer(caller.credential, "token")
        try:
            digest = sha256(token.encode()).digest()
        except UnicodeEncodeError:  # bytes that were no text
            raise _malformed() from None
        known = self._verdicts.get(digest)
        if known is None:
            known = self._verify(token)
            self._verdicts[digest] = known
            if len(self._verdicts) > self._most:
                self._verdicts.popitem(last=False)
        ends, audience, principal = known
        if self._clock() >= ends:
            self._verdicts.pop(digest, None)
            raise invalid("the token has expired", principal.name)
        if endpoint is not None and endpoint != audience:
            raise invalid("the token is for another endpoint", principal.name)
        if not principal.may(role, endpoint):
            raise forbidden("token", role, endpoint, principal.name)
        return principal

    def _verify(self, token: str) -> tuple[float, str, Principal]:
        kid = _kid(token)
        key = self._keys.find(kid)
        if key is None:
            raise invalid("the token was not signed here, or its key is no longer valid")
        try:
            # Times are checked against our clock, and at each use: not here.
            options: Any = {"require": ["iss", "aud", "sub", "iat", "exp"]} | dict.fromkeys(
                ("verify_exp", "verify_nbf", "verify_iat", "verify_aud"), False
            )
            claims = jwt.decode(token, key, algorithms=[_ALGORITHM], issuer=_ISSUER, options=options)
            audience, subject, ends = claims["aud"], claims["sub"], float(claims["exp"])
            begins = float(claims["iat"])
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            raise invalid("the token was not signed here, or its key is no longer valid") from None
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError, RecursionError):
            raise _malformed() from None
        if not (isinstance(audience, str) and isinstance(subject, str) and isfinite(ends)):
            raise _malformed()
        if begins - self._leeway > self._clock():
            raise invalid("the token is not valid yet", subject)
        return ends + self._leeway, audience, Principal(subject, (Grant(_ROLES, frozenset({audience})),), "token")


def is_of_lockgate(token: str) -> bool:
    """Whether a token says that it is one of ours; nothing is checked."""
    try:
        return bool(jwt.decode(token, options={"verify_signature": False}).get("iss") == _ISSUER)
    except (jwt.PyJWTError, TypeError, ValueError, RecursionError):
        return False


def _kid(token: str) -> str:
    if len(token) > _LONGEST:
        raise _malformed()
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise _malformed() from None
    return kid if isinstance(kid, str) else ""


def _malformed() -> Unauthenticated:
    return invalid("the token is malformed")
