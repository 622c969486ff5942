"""
Callers who prove themselves by a client certificate alone.

TLS has verified by then that an authority we trust has signed it; what its holder may do is said in the settings, by
patterns for the names that it bears. A certificate that no pattern fits may do nothing. All rules that fit add up; the
first of them names the principal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from gateway.core.access import Caller, ClientCertificate, Grant, Principal, Role
from gateway.core.errors import Forbidden, Unauthenticated

__all__ = ["CertificateAccess", "CertificateGrant"]

_KEPT = 4096
"""Certificates whose principals are not worked out anew for each request."""


class CertificateGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Roles for certificates that bear a name. A ``*`` in a pattern stands for any characters, none included."""

    san: str = ""
    """Pattern for one of the subject alternative names: a DNS name, a URI or an e-mail address."""
    subject: str = ""
    """Pattern for the common name instead."""
    name: str = ""
    """What the caller is called in logs and limits; without it, the name that fitted."""
    roles: list[Role]
    endpoints: list[str] | None = None
    """Where; null for all."""

    def __post_init__(self) -> None:
        if bool(self.san) == bool(self.subject):
            raise ValueError("san: expected either san or subject")
        if not self.roles:
            raise ValueError("roles: expected at least one")


class CertificateAccess:
    """Implements ``gateway.core.access.Access`` for callers with a certificate; a credential is not looked at."""

    def __init__(self, grants: Sequence[CertificateGrant]) -> None:
        self._rules = [_Rule(grant) for grant in grants]
        self._principals: dict[ClientCertificate, Principal] = {}

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Access``."""
        certificate = caller.certificate
        if certificate is None:
            raise Unauthenticated("expected a client certificate")
        principal = self._principals.get(certificate)
        if principal is None:
            principal = self._known(certificate)
        if not principal.may(role, endpoint):
            what = f'{role} endpoint "{endpoint}"' if endpoint else f"{role}"
            raise Forbidden(f"the client certificate may not {what}")
        return principal

    def _known(self, certificate: ClientCertificate) -> Principal:
        grants: list[Grant] = []
        name = ""
        for rule in self._rules:
            fitting = rule.fits(certificate)
            if fitting is not None:
                name = name or rule.name or fitting
                grants.append(rule.grant)
        principal = Principal(name or certificate.subject, tuple(grants), "certificate")
        if len(self._principals) >= _KEPT:
            self._principals.pop(next(iter(self._principals)))
        self._principals[certificate] = principal
        return principal


class _Rule:
    """One ``CertificateGrant``, ready to be asked."""

    def __init__(self, grant: CertificateGrant) -> None:
        self.name = grant.name
        self.grant = Grant(frozenset(grant.roles), None if grant.endpoints is None else frozenset(grant.endpoints))
        self._is_subject = bool(grant.subject)
        pattern = grant.subject or grant.san
        self._fits = re.compile(".*".join(map(re.escape, pattern.split("*")))).fullmatch

    def fits(self, certificate: ClientCertificate) -> str | None:
        """The name of the certificate that does."""
        names = (certificate.subject,) if self._is_subject else certificate.names
        return next((name for name in names if name and self._fits(name)), None)
