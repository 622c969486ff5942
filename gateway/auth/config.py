"""What an operator may set about who is let in: the part of ``lockgate.yaml`` under ``auth``."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gateway.auth.client_certificate import CertificateGrant
from gateway.core.access import Role
from gateway.core.bounds import DAY_MS, DAY_S, MOST_ROWS, expect_within

__all__ = ["ALGORITHMS", "AuthConfig", "ClaimGrant", "OidcConfig"]

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
)
"""Signatures with a key pair. ``none`` and HMAC are not among them and cannot be configured."""

_ENTRA = "https://login.microsoftonline.com"
_ENTRA_V1 = "https://sts.windows.net"
_YEAR_HOURS = 365 * 24
_TENANT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ClaimGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Roles for everybody whose token says something; without ``claim`` for everybody with a valid token."""

    claim: str = ""
    """``roles``, ``groups``, ``scp`` or any other: a text, a list of texts, or words in one text."""
    value: str = ""
    """What the claim must hold, letter by letter."""
    roles: list[Role]
    endpoints: list[str] | None = None
    """Where; null for all."""

    def __post_init__(self) -> None:
        if bool(self.claim) != bool(self.value):
            raise ValueError("claim: expected claim and value together, or neither")
        if not self.roles:
            raise ValueError("roles: expected at least one")


class OidcConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose JSON Web Tokens are believed, and what their claims allow."""

    tenant: str = ""
    """An Entra ID tenant, by its id: takes tokens of version 1 and 2 of this tenant."""
    issuer: str = ""
    """Any other OpenID Connect provider, as its tokens' ``iss`` names it."""
    authority: str = _ENTRA
    """Entra's host for ``tenant``; sovereign clouds have others."""
    authority_v1: str = _ENTRA_V1
    """The host in the ``iss`` of version 1 tokens for ``tenant``."""
    jwks_uri: str = ""
    """Where the signing keys are, if the provider's discovery document is not to be asked."""
    audiences: list[str]
    """A token is for us if its ``aud`` is one of these."""
    algorithms: tuple[str, ...] = ("RS256",)
    grants: list[ClaimGrant]
    leeway_s: float = 60.0
    """How far the provider's clock may be off ours."""
    ca: Path | None = None
    """PEM file of the authority that signed the provider's certificate; null for the system's own."""
    refresh_hours: float = 24.0
    """How old the signing keys may become before they are fetched again."""
    unknown_key_interval_s: float = 30.0
    """Between two fetches for keys that nobody knows: tokens can name any key they like."""
    timeout_ms: int = 5000
    """For one fetch."""
    cached_tokens: int = 10_000
    """Verdicts that are kept until their token expires."""

    def __post_init__(self) -> None:
        if bool(self.tenant) == bool(self.issuer):
            raise ValueError("issuer: expected either issuer or tenant")
        if self.tenant and not _TENANT.fullmatch(self.tenant):
            raise ValueError(f'tenant: expected the id of a tenant in lower case, got "{self.tenant}"')
        for name in ("issuer", "authority", "authority_v1", "jwks_uri"):
            if (url := getattr(self, name)) and not _is_https(url):
                raise ValueError(f'{name}: expected an https address, got "{url}"')
        if not self.audiences or not all(self.audiences):
            raise ValueError("audiences: expected at least one, and none of them empty")
        if not self.grants:
            raise ValueError("grants: expected at least one, nobody could do anything")
        if unknown := sorted(set(self.algorithms) - ALGORITHMS):
            raise ValueError(f'algorithms: expected some of {", ".join(sorted(ALGORITHMS))}, got "{unknown[0]}"')
        if not self.algorithms:
            raise ValueError("algorithms: expected at least one")
        expect_within(self, 0, 600, "leeway_s")
        expect_within(self, 0, _YEAR_HOURS, "refresh_hours", is_above=True)
        expect_within(self, 0, DAY_S, "unknown_key_interval_s", is_above=True)
        expect_within(self, 1, DAY_MS, "timeout_ms")
        expect_within(self, 1, MOST_ROWS, "cached_tokens")

    @property
    def issuers(self) -> tuple[str, ...]:
        """What ``iss`` may be; the first is the one whose discovery document is read."""
        if self.issuer:
            return (self.issuer,)
        authority, v1 = self.authority.rstrip("/"), self.authority_v1.rstrip("/")
        return f"{authority}/{self.tenant}/v2.0", f"{v1}/{self.tenant}/"

    @property
    def discovery(self) -> str:
        """Address of the provider's own description (OpenID Connect Discovery §4)."""
        return f"{self.issuers[0].rstrip('/')}/.well-known/openid-configuration"


class AuthConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is let in, and as whom."""

    oidc: OidcConfig | None = None
    """For endpoints with ``auth_mode: aad_token``."""
    keys_from: Path | None = None
    """A mounted secret with further keys: a folder of one file per key, or one JSON file."""
    certificates: list[CertificateGrant] = []
    """Who may come with a client certificate instead; needs ``edge.tls.client_auth``."""
    token_lifetime_s: int = 3600
    """Of the tokens that endpoints with ``auth_mode: token`` take; what Azure ML's last."""
    token_leeway_s: int = 30
    """How far the clocks of gateways may be apart."""

    def __post_init__(self) -> None:
        expect_within(self, 60, DAY_S, "token_lifetime_s")
        expect_within(self, 0, 300, "token_leeway_s")


def _is_https(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(parts.hostname) and not parts.username and not parts.fragment
