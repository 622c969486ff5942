"""
Slows down who keeps showing credentials that are not valid.

A key has 256 bits, so this is not what keeps guesses out. It keeps them cheap: an address that has failed often is told
to go away with a 429, in which clients back off, and the log does not fill with its failures. Only failures are slowed.
A valid credential passes however many others failed from the same address, because behind one address stands a whole
company, a cluster or a load balancer, and one broken client there must not lock the others out.

Nothing is counted and nothing is looked up for a request that gets in. Who shows no credential at all has not failed a
login and is told 401, however often.
"""

from __future__ import annotations

from collections import OrderedDict

import structlog

from gateway.core.access import Access, Caller, Principal, PromptAccess, Role
from gateway.core.deadline import Clock
from gateway.core.errors import Overloaded, Unauthenticated
from gateway.core.network import network_of
from gateway.limits.bucket import Bucket

__all__ = ["SlowFailures"]

log = structlog.get_logger()

_MAX_NETWORKS = 10_000


class SlowFailures:
    """
    Implements ``PromptAccess`` around another one: after ``failures`` of one address further ones are ``Overloaded``.

    So many are forgiven in ``window`` seconds.
    """

    def __init__(self, inner: Access, *, failures: int, window: float, clock: Clock) -> None:
        self._inner, self._clock = inner, clock
        self._at_once = inner.at_once if isinstance(inner, PromptAccess) else None
        self._failures, self._rate = failures, failures / window
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def at_once(self, caller: Caller, endpoint: str | None, role: Role) -> Principal | None:
        """See ``PromptAccess``; raises what the call raises."""
        at_once = self._at_once
        if at_once is None:
            return None
        try:
            return at_once(caller, endpoint, role)
        except Unauthenticated as failure:
            if caller.credential is not None:
                self._failed(network_of(caller.peer), failure)
            raise

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Access``. Raises ``Overloaded`` too, in place of ``Unauthenticated``."""
        try:
            return await self._inner(caller, endpoint, role)
        except Unauthenticated as failure:
            if caller.credential is not None:
                self._failed(network_of(caller.peer), failure)
            raise

    def _failed(self, network: str, failure: Unauthenticated) -> None:
        now = self._clock()
        bucket = self._buckets.get(network)
        if bucket is None:
            if len(self._buckets) >= _MAX_NETWORKS:
                self._buckets.popitem(last=False)
            bucket = self._buckets[network] = Bucket(self._rate, self._failures, now)
        self._buckets.move_to_end(network)
        wait = bucket.wait(now)
        if wait:
            raise Overloaded("too many credentials from this address were not valid", wait) from failure
        bucket.take(1.0)
        if bucket.level < 1.0:
            log.warning("limits.logins_slowed", network=network)
