"""
One JSON Web Token: taken apart, checked against a provider's rules, and its claims handed out. Pure: no I/O, no clock.

The order matters: what the token says of itself decides nothing. Its algorithm must be one that was configured and
fits the kind of key that the provider published under the token's ``kid``, so that neither ``none`` nor an HMAC made
with a public key can pass; claims are read only after the signature held. PyJWT's algorithms do the arithmetic
(RFC 7518), msgspec reads the JSON: a third of what PyJWT alone takes, and little enough for the event loop.
"""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import msgspec

from gateway.auth.bearer import invalid

__all__ = ["MAX_TOKEN", "Header", "JwtRules", "SigningKey", "check_claims", "read_header", "verified_claims"]

MAX_TOKEN = 16 * 1024
"""Characters. Entra's tokens have two thousand, with two hundred groups in them eight."""

_MAX_KID = 256


class Header(msgspec.Struct, frozen=True):
    """What a token says of itself, before anything of it is believed."""

    alg: str
    kid: str = ""
    crit: Any = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key that a provider has published."""

    kid: str
    key: Any = field(repr=False)
    """As ``cryptography`` holds it."""
    algorithms: frozenset[str]
    """What may be verified with it: follows from the key's kind, never from a token."""
    issuer: str = ""
    """Whose tokens it signs, where the provider says so; Entra does, with ``{tenantid}`` in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtRules:
    """What a token of one provider must say."""

    issuers: tuple[str, ...]
    audiences: frozenset[str]
    algorithms: frozenset[str]
    leeway: float
    tenant: str = ""
    """Entra's ``tid``; empty for other providers."""


def read_header(token: str) -> Header:
    """Raises ``Unauthenticated`` for what is no signed token, or for one that asks for what is not offered."""
    if len(token) > MAX_TOKEN or token.count(".") != 2:
        raise invalid("expected a JSON Web Token")
    try:
        header = _headers.decode(_decoded(token.partition(".")[0]))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise invalid("expected a JSON Web Token") from error
    if header.crit is not None:
        raise invalid("the token has critical header fields, none of which are understood here")
    if not header.kid or len(header.kid) > _MAX_KID:
        raise invalid("the token does not name the key that it was signed with")
    return header


def verified_claims(token: str, header: Header, key: SigningKey, rules: JwtRules, now: float) -> Mapping[str, Any]:
    """``now`` is Unix time. Raises ``Unauthenticated``."""
    if header.alg not in rules.algorithms or header.alg not in key.algorithms:
        raise invalid("the token is signed with an algorithm that is not accepted here")
    signed, _, signature = token.rpartition(".")
    try:
        raw = _decoded(signature)
        is_genuine = jwt.get_algorithm_by_name(header.alg).verify(signed.encode("ascii"), key.key, raw)
    except (ValueError, TypeError) as error:
        raise invalid("the token's signature is not valid") from error
    if not is_genuine:
        raise invalid("the token's signature is not valid")
    try:
        claims = _claims.decode(_decoded(signed.partition(".")[2]))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise invalid("expected a JSON Web Token with an object of claims") from error
    check_claims(claims, key, rules, now)
    return claims


def check_claims(claims: Mapping[str, Any], key: SigningKey, rules: JwtRules, now: float) -> None:
    """Whether somebody whose signature held may say this, to us, now. Raises ``Unauthenticated``."""
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in rules.issuers:
        raise invalid("the token is from another issuer")
    tenant = claims.get("tid")
    if rules.tenant and tenant != rules.tenant:
        raise invalid("the token is from another tenant")
    if key.issuer and key.issuer.replace("{tenantid}", rules.tenant or str(tenant)) not in rules.issuers:
        raise invalid("the token is signed with a key of another issuer")
    audience = claims.get("aud")
    heard = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    if not any(isinstance(each, str) and each in rules.audiences for each in heard):
        raise invalid("the token is for another audience")
    expires, begins = _time(claims, "exp"), _time(claims, "nbf")
    if expires is None:
        raise invalid("the token does not say when it expires")
    if now >= expires + rules.leeway:
        raise invalid("the token has expired")
    if begins is not None and now < begins - rules.leeway:
        raise invalid("the token is not valid yet")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 1e12:
        raise invalid(f"the token's {name} is no time")
    return float(value)


def _decoded(text: str) -> bytes:
    """Base64url without padding (RFC 7515 §2), and nothing that a lenient reader would skip."""
    if "=" in text:
        raise ValueError("padding")
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


_headers = msgspec.json.Decoder(Header)
_claims = msgspec.json.Decoder(dict[str, Any])
