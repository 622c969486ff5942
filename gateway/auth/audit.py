"""
Who did or was refused what, from where, with which outcome: an event each, and never the credential.

What was done is always written. Refusals can come by the thousand and would fill a disk, so each address gets a few a
minute and all together some more; what is left out is counted, and one line a minute says how much of it came from
where. The number of addresses that are told apart is bounded too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from gateway.core.access import Caller, Principal, Role
from gateway.core.errors import Forbidden, Unauthenticated
from gateway.core.network import address_of

__all__ = ["Audit", "host_of"]

log = structlog.get_logger()

_WINDOW = 60.0
_PER_ADDRESS = 10
_IN_ALL = 100
"""Events per window: a flood costs the log 60 MB a day at most."""
_ADDRESSES = 1000
_TOLD = 10
"""Addresses that the summary names."""
_OTHERS = "others"


class Audit:
    """``clock`` counts seconds. ``close`` or the next refusal ends a window."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends = clock() + _WINDOW
        self._seen: dict[str, int] = {}
        self._written = 0
        self._left_out: dict[str, int] = {}

    def did(self, event: str, principal: Principal, where: str, **facts: Any) -> None:
        """A control action that took place; ``event`` is such as ``audit.key_created``."""
        log.info(event, who=principal.name, kind=principal.kind, where=host_of(where), outcome="done", **facts)

    def refused(self, caller: Caller, endpoint: str | None, role: Role, refusal: Unauthenticated | Forbidden) -> None:
        """
        A credential that was missing or not valid, or a principal that may not do this.

        ``endpoint`` is one that there is: callers put their keys into all sorts of places.
        """
        self.sweep()
        host = host_of(caller.peer)
        if host not in self._seen and len(self._seen) >= _ADDRESSES:
            host = _OTHERS
        seen = self._seen[host] = self._seen.get(host, 0) + 1
        if seen > _PER_ADDRESS or self._written >= _IN_ALL:
            self._left_out[host] = self._left_out.get(host, 0) + 1
            return
        self._written += 1
        log.info(
            "audit.refused",
            who=refusal.who or None,
            what=str(role),
            endpoint=endpoint,
            where=host,
            outcome="forbidden" if isinstance(refusal, Forbidden) else "unauthenticated",
            # What is forbidden is said above; such a text may repeat a name from the wire.
            reason=None if isinstance(refusal, Forbidden) else str(refusal),
        )

    def sweep(self) -> None:
        """Close the window if it is over, and say what was left out of it."""
        if self._clock() >= self._ends:
            self.close()

    def close(self) -> None:
        """Close the window now."""
        if self._left_out:
            most = sorted(self._left_out.items(), key=lambda item: -item[1])[:_TOLD]
            log.info("audit.refusals_left_out", refusals=sum(self._left_out.values()), where=dict(most))
        self._ends = self._clock() + _WINDOW
        self._seen, self._written, self._left_out = {}, 0, {}


def host_of(peer: str) -> str:
    """The address without the port: gRPC names peers ``ipv4:1.2.3.4:5``, HTTP by the address alone."""
    if not peer or peer.startswith("unix"):
        return "local"
    return address_of(peer)
