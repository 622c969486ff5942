"""
Who may do what: the question the edge asks before it shows anything, and the auth stage asks per request.

A caller shows a credential, a client certificate or both; ``Access`` turns that into a principal or refuses. What a
principal may do is said in roles on endpoints, whatever it proved itself with; nothing is allowed that no grant names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias, runtime_checkable

__all__ = [
    "Access",
    "Caller",
    "ClientCertificate",
    "Grant",
    "Presented",
    "Principal",
    "PrincipalKind",
    "PromptAccess",
    "Role",
]


class Role(StrEnum):
    """What may be done with an endpoint, or with all of them."""

    SCORE = "score"
    """Ask for predictions, and read what is needed to ask."""
    READ = "read"
    """Read metadata, signatures, statistics and state; nothing that another caller has sent."""
    DEPLOY = "deploy"
    """Change traffic and deployments, and see inputs where an endpoint keeps them."""
    KEYS = "keys"
    """Make and revoke keys and tokens."""
    ADMIN = "admin"
    """Everything."""


_IMPLIED = {
    Role.SCORE: frozenset({Role.SCORE, Role.READ}),
    Role.READ: frozenset({Role.READ}),
    Role.DEPLOY: frozenset({Role.DEPLOY, Role.READ}),
    Role.KEYS: frozenset({Role.KEYS, Role.READ}),
    Role.ADMIN: frozenset(Role),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """Roles on some endpoints. Made once per key, token or reload, never per request."""

    roles: frozenset[Role]
    endpoints: frozenset[str] | None = None
    """None for all, and for what belongs to no endpoint."""
    allowed: frozenset[Role] = field(init=False, repr=False, compare=False)
    """The roles with all that they bring along."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed", frozenset[Role]().union(*(_IMPLIED[role] for role in self.roles)))


PrincipalKind: TypeAlias = Literal["key", "token", "jwt", "certificate"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``name`` is safe to log; it is never the credential."""

    name: str
    grants: tuple[Grant, ...] = ()
    kind: PrincipalKind = "key"

    def may(self, role: Role, endpoint: str | None) -> bool:
        """``endpoint`` None asks whether there is any endpoint on which the role is held."""
        for grant in self.grants:  # a loop, because a generator costs three times as much
            if role in grant.allowed and (endpoint is None or grant.endpoints is None or endpoint in grant.endpoints):
                return True
        return False


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A verified certificate that the peer of a connection showed; taken off the connection once, not per request."""

    subject: str
    """Its common name, or empty."""
    names: tuple[str, ...] = ()
    """Its subject alternative names: DNS names, URIs and e-mail addresses, in the order of the certificate."""


class Caller(Protocol):
    """What is known of whoever asks; a ``Received`` and an ``HttpRequest`` are ones."""

    @property
    def credential(self) -> str | None:
        """The value of the ``Authorization`` header."""

    @property
    def certificate(self) -> ClientCertificate | None: ...

    @property
    def peer(self) -> str:
        """Address."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A caller where no other value at hand is one."""

    credential: str | None = field(repr=False)
    certificate: ClientCertificate | None = None
    peer: str = ""


class Access(Protocol):
    """Turns a caller into a principal that may do what it asks for."""

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """
        ``endpoint`` None asks for what is not of one endpoint, such as a list of models: the principal must hold the
        role somewhere, and the asker goes on to show only what ``Principal.may`` allows.

        Raises ``Unauthenticated`` or ``Forbidden``.
        """
        ...


@runtime_checkable
class PromptAccess(Access, Protocol):
    """An ``Access`` that need not be waited for where it knows the answer already: for a key it always does."""

    def at_once(self, caller: Caller, endpoint: str | None, role: Role) -> Principal | None:
        """
        The same without waiting; None where something has to be waited for: then call.

        Raises ``Unauthenticated`` or ``Forbidden``.
        """
        ...
