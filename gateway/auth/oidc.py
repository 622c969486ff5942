"""
Callers who show a JSON Web Token of an identity provider: Entra ID, or any other that speaks OpenID Connect.

A token costs a signature check once, on the loop: 40 µs for RS256, 125 for ES256, where a thread and back costs 70.
The verdict is kept until the token expires, under the token's SHA-256 digest, so that a dump of the cache holds nothing
that could be shown to anybody; the least recently used verdicts make way when there are too many. When the provider
takes a key back, all verdicts go: one of them may rest on it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from hashlib import sha256

from gateway.auth.bearer import bearer, forbidden, invalid
from gateway.auth.config import OidcConfig
from gateway.auth.jwks import Fetch, Jwks
from gateway.auth.jwt import JwtRules, read_header, verified_claims
from gateway.auth.oidc_discovery import Discovery
from gateway.auth.oidc_grants import ClaimRules
from gateway.core.access import Caller, Principal, Role
from gateway.core.deadline import Clock

__all__ = ["OidcAccess"]

_AFTER_FETCH_S = 1.0
"""How much longer than a fetch may take a request waits for it."""


class OidcAccess:
    """Implements ``gateway.core.access.Access``. ``run`` keeps the provider's keys fresh and must be running."""

    def __init__(
        self,
        config: OidcConfig,
        *,
        fetch: Fetch | None = None,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        self._rules = JwtRules(
            issuers=config.issuers,
            audiences=frozenset(config.audiences),
            algorithms=frozenset(config.algorithms),
            leeway=config.leeway_s,
            tenant=config.tenant,
        )
        self._claims = ClaimRules(config.grants)
        self._wall_clock = wall_clock
        self._max_verdicts = config.cached_tokens
        self._verdicts: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        """Digest → when it ends, and who it is."""
        self._jwks = Jwks(
            fetch or Discovery(config),
            clock=clock,
            refresh=config.refresh_hours * 3600,
            unknown_interval=config.unknown_key_interval_s,
            patience=config.timeout_ms / 1000 + _AFTER_FETCH_S,
            on_change=self._verdicts.clear,
        )

    async def run(self) -> None:
        """Until cancelled."""
        await self._jwks.run()

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Access``: the credential is ``Bearer <token>``. ``NotReady`` while the provider's keys are unknown."""
        principal = await self.principal(bearer(caller.credential, "token"))
        if not principal.may(role, endpoint):
            raise forbidden("token", role, endpoint, principal.name)
        return principal

    async def principal(self, token: str) -> Principal:
        """Whose token it is, whatever they may do. Raises ``Unauthenticated``, or ``NotReady``."""
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._verdicts.get(digest)
        if known is not None:
            if self._wall_clock() < known[0]:
                self._verdicts.move_to_end(digest)
                return known[1]
            del self._verdicts[digest]
        header = read_header(token)
        if header.alg not in self._rules.algorithms:
            # Asked before the key is: such a token shall not even cause a fetch.
            raise invalid("the token is signed with an algorithm that is not accepted here")
        key = await self._jwks.find(header.kid)
        if key is None:
            raise invalid("the token is signed with an unknown key")
        claims = verified_claims(token, header, key, self._rules, self._wall_clock())
        principal = self._claims.principal(claims)
        self._verdicts[digest] = claims["exp"] + self._rules.leeway, principal
        if len(self._verdicts) > self._max_verdicts:
            self._verdicts.popitem(last=False)
        return principal
