"""
Who may look at the desired state and change it: implements ``gateway.control.state_sight.Judge``.

What concerns one endpoint takes the role there; what concerns several, or could, takes it on all endpoints that there
are and will be. Every change and every refusal is on the audit trail.
"""

from __future__ import annotations

import structlog

from gateway.auth.audit import Audit, host_of
from gateway.auth.bearer import forbidden
from gateway.auth.policy import holds
from gateway.control.document import Entry
from gateway.core.access import Access, Caller, Principal, Role
from gateway.core.errors import GatewayError

__all__ = ["ControlJudge"]

log = structlog.get_logger()


class ControlJudge:
    """``access`` is that of the admin API, which puts its own refusals on the audit trail."""

    def __init__(self, access: Access, audit: Audit) -> None:
        self._access, self._audit = access, audit

    async def on_endpoint(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Judge``."""
        return await self._access(caller, endpoint, role)

    async def on_all(self, caller: Caller, role: Role) -> Principal:
        """See ``Judge``."""
        principal = await self._access(caller, None, role)
        if holds(principal, role, None):
            return principal
        refusal = forbidden(principal.kind, role, None, principal.name)
        refusal.args = (f"{refusal} on all endpoints",)
        self._audit.refused(caller, None, role, refusal)
        raise refusal

    def holds_on_all(self, principal: Principal, role: Role) -> bool:
        """See ``Judge``."""
        return holds(principal, role, None)

    def changed(self, principal: Principal, caller: Caller, entry: Entry) -> None:
        """See ``Judge``."""
        self._audit.did("audit.state_changed", principal, caller.peer, version=entry.version, what=entry.what)

    def refused(self, principal: Principal, caller: Caller, error: GatewayError) -> None:
        """See ``Judge``. Without the text, which may repeat what was sent."""
        log.info(
            "audit.state_not_changed",
            who=principal.name,
            kind=principal.kind,
            where=host_of(caller.peer),
            outcome="refused",
            reason=type(error).__name__,
        )
