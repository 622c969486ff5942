"""Rights beyond one role on one endpoint: whose keys one may manage, and what is left of a principal. Pure."""

from __future__ import annotations

from collections.abc import Collection

from gateway.core.access import Grant, Principal, Role

__all__ = ["holds", "may_manage", "narrowed"]

_LENT = frozenset({Role.SCORE, Role.READ, Role.KEYS})
"""What whoever holds ``keys`` on an endpoint may give away there; the rest takes ``admin``."""


def holds(principal: Principal, role: Role, endpoints: Collection[str] | None) -> bool:
    """Whether the role is held on each of these endpoints; None: on all that there are and will be."""
    if endpoints is None:
        return any(grant.endpoints is None and role in grant.allowed for grant in principal.grants)
    return all(principal.may(role, endpoint) for endpoint in endpoints)


def may_manage(principal: Principal, roles: Collection[Role], endpoints: Collection[str] | None) -> bool:
    """
    Whether the principal may make, replace or revoke a key with these rights.

    Nobody gives more than they have: a key for all endpoints takes the role on all, and ``deploy`` and ``admin`` are
    given, and taken away, by ``admin`` alone.
    """
    return holds(principal, Role.KEYS if _LENT.issuperset(roles) else Role.ADMIN, endpoints)


def narrowed(principal: Principal, endpoints: frozenset[str]) -> Principal:
    """The same, with what it may do on these endpoints only."""
    grants = tuple(
        Grant(grant.roles, endpoints if grant.endpoints is None else grant.endpoints & endpoints)
        for grant in principal.grants
    )
    return Principal(principal.name, tuple(grant for grant in grants if grant.endpoints), principal.kind)
